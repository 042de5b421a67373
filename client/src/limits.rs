//! Every bound of the client engine.
