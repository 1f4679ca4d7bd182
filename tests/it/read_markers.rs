//! How far members have read, and what is unread.
