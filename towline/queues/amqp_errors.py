"""What pika raises, as one line that says what is wrong and what to do about it."""

import re
import socket
import ssl

from pika import exceptions

from towline.errors import TowlineError
from towline.queues.amqp_url import OPEN_WITHIN, Broker

_INEQUIVALENT = re.compile(r"inequivalent arg '([^']+)' for (\w+) '([^']+)'.*?received (.+?) but current is (.+?)\.?$")
_TOO_LARGE = re.compile(r"larger than (?:configured )?max size (\d+)")


def explain(error: BaseException, broker: Broker) -> str:
    """Why there is no connection, or no working channel on it."""
    error = _innermost(error)
    if isinstance(error, TowlineError):
        return str(error)
    if isinstance(error, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError):
        return f"the broker refuses user {broker.user!r} or its password: correct the queue URL or password-file"
    if isinstance(error, exceptions.ConnectionClosed | exceptions.ChannelClosed):
        return _closed(error.reply_code, error.reply_text, broker)
    if isinstance(error, exceptions.ProbableAccessDeniedError) and "not found" in str(error):
        return _no_vhost(broker)
    if isinstance(error, exceptions.ProbableAccessDeniedError):
        return f"user {broker.user!r} may not use vhost {broker.vhost!r}: correct the URL, or set its permissions"
    if broker.tls and isinstance(error, exceptions.IncompatibleProtocolError):
        return (
            "TLS was closed again at once: either the broker asks for a client certificate, and a valid one is to be "
            "given with cert= and key=; or it is no broker, and the port is to be corrected"
        )
    if isinstance(error, exceptions.IncompatibleProtocolError | exceptions.ProtocolVersionMismatch):
        return "what answers there does not speak AMQP 0-9-1: correct the port, and amqp:// or amqps://"
    return _network(error)


def size_limit(error: BaseException) -> int | None:
    """The broker's largest message in bytes, where that is what `error` complains about."""
    match = _TOO_LARGE.search(error.reply_text) if isinstance(error, exceptions.ChannelClosed) else None
    return int(match[1]) if match else None


def _innermost(error: BaseException) -> BaseException:
    """The cause below pika's connection workflow; of several addresses, that of the last."""
    while True:
        several = getattr(error, "exceptions", None) or [getattr(error, "exception", None), *error.args]
        inner = [each for each in several if isinstance(each, BaseException)]
        if not inner:
            return error
        error = inner[-1]


def _closed(code: int, text: str, broker: Broker) -> str:
    if match := _INEQUIVALENT.search(text):
        return _other_arguments(match)
    if code == 530 and "not found" in text:
        return _no_vhost(broker)
    if code == 530 and "refused" in text:
        return f"user {broker.user!r} may not use vhost {broker.vhost!r}: correct the URL, or set its permissions"
    if code == 403:
        return f"user {broker.user!r} may not do this: {_plain(text)}; set its permissions"
    if code == 404:
        return f"{_plain(text)}: it was deleted, and is declared again"
    return f"{code} {_plain(text)}"


def _no_vhost(broker: Broker) -> str:
    return f"vhost {broker.vhost!r} does not exist: correct the URL, or rabbitmqctl add_vhost {broker.vhost}"


def _other_arguments(match: re.Match[str]) -> str:
    argument, kind, name, wanted, current = match.groups()
    wanted, current = _value(wanted), _value(current)
    fix = f"delete the {kind} once it is empty, and it is declared anew"
    if argument == "x-max-length-bytes" and current.isdecimal():
        fix = f"write size={current} into the queue URL, or {fix}"
    return f"{kind} {name!r} exists with {argument}={current}, not {wanted}: {fix}"


def _value(text: str) -> str:
    """`the value '5' of type 'long'` as 5."""
    match = re.search(r"'([^']*)'", text)
    return match[1] if match else text


def _plain(text: str) -> str:
    return " ".join(text.split())[:300]


def _network(error: BaseException) -> str:
    if isinstance(error, exceptions.ConnectionBlockedTimeout):
        return "the broker has blocked publishers for too long; trying a new connection"
    if isinstance(error, exceptions.ConnectionOpenAborted):
        return f"the broker has not answered within {OPEN_WITHIN:.0f} s"
    if isinstance(error, exceptions.AMQPHeartbeatTimeout):
        return "no heartbeat from the broker"
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = "correct the host name, the certificate or ca="
        return f"the broker's certificate is refused: {error.verify_message}; {fix}"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason or error}; check amqps://, the port, cert= and key="
    if isinstance(error, socket.gaierror):
        return f"the host name is not known ({error.strerror}): correct the queue URL"
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}: is the broker up, and its port right?"
    if isinstance(error, exceptions.StreamLostError):
        return "the connection broke"
    return _plain(str(error) or type(error).__name__)
