"""Queue to store: forwards whole batches and keeps each until the store's verdict."""
