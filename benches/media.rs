//! The cost of making a segment of each rendition. A segment lasts 1.92 s, so 19.2 ms are one percent of a core.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use seawall::hls::ladder::Rendition;
use seawall::hls::timeline::{Channel, Layout};
use seawall::media;
use seawall::time::UnixTime;

fn segments(criterion: &mut Criterion) {
    let channel = Channel {
        name: "demo".to_owned(),
        seed: 1,
        layout: Layout {
            parts_per_segment: 6,
            ladder: Rendition::known().to_vec(),
            ..Layout::default()
        },
        started_at: UnixTime::from_millis(1_790_000_000_000),
    };
    let mut group = criterion.benchmark_group("segment");
    group.sample_size(20);
    for rendition in &channel.layout.ladder {
        let mut number = channel.first_number();
        group.bench_function(rendition.name.as_str(), |bencher| {
            bencher.iter(|| {
                number += 1;
                black_box(media::segment(&channel, rendition, number))
            });
        });
    }
}

criterion_group!(benches, segments);
criterion_main!(benches);
