//! A seeded proxy between client and relay that loses, delays, reorders and doubles UDP datagrams.
