//! Integration tests.

mod protocol_doc;
