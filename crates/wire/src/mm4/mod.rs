//! The codec of MM4 (TS 23.140 8.4.4).
