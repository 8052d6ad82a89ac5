//! Likes and what befalls their disk: kill -9, no space left, a folder that cannot be written, bytes that change.
