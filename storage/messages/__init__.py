"""Messages of standard and FIFO queues: sending, receiving, deleting, and moving them."""
