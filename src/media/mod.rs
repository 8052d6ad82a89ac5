//! The picture and the sound: segments as a pure function of (channel, rendition, number).
