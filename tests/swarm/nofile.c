/* Where a machine lets nobody open more files: answers 65535 to whoever asks how many may be open. Elasticsearch refuses to
   be one of several nodes where fewer are allowed. Nothing else changes: more than there may be can still not be opened. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit) {
    int failed = syscall(SYS_prlimit64, 0, resource, (void *)0, limit);
    if (!failed && resource == RLIMIT_NOFILE && limit->rlim_max < 65535)
        limit->rlim_cur = limit->rlim_max = 65535;
    return failed;
}

int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit) {
    return getrlimit(resource, (struct rlimit *)limit);
}
