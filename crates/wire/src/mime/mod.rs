//! The mail format: header blocks, encoded words, dates, parameters, the structure of a body.
