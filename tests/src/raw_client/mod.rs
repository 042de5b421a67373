//! A client that speaks QUIC and frames without any of the manners of ours.
