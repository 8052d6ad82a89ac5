//! HTTP before any route: accepted connections, refused requests, conditional and partial answers.

pub mod conditions;
pub mod connection;
pub mod content_type;
pub mod cors;
pub mod listener;
pub mod request_filter;
