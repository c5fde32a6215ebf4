"""The simulator: the real writer and projector on virtual time, in one thread, from one seed."""
