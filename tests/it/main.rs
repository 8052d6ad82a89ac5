//! Seawall over real sockets, files and programs; one module per subject.

#![expect(
    clippy::disallowed_methods,
    reason = "tests measure and bound real time; policy is tested with values at its own place"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod support;

mod admin;
mod audience;
mod bad_input;
mod celebrity;
mod closed_forms;
mod dashboards;
mod dashboards_live;
mod edge_batches;
mod edge_blocking;
mod edge_bounds;
mod edge_faults;
mod edge_foreign;
mod edge_freshness;
mod edge_herd;
mod edge_likes;
mod edge_origin;
mod encoders;
mod foreign;
mod hlsjs;
mod layers;
mod likes;
mod likes_disk;
mod likes_jetstream;
mod likes_power;
mod lost_output;
mod metrics;
mod operating;
mod origin_stream;
mod playback;
mod processes;
mod replay;
mod simulation;
mod surge;
mod surge_likes;
mod top;
mod twin;
mod virtual_time;
