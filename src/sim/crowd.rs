//! Who watches where, in virtual time: viewers are divided among points of presence, streams and renditions, and stand behind
//! players.
//!
//! A *cell* is a rendition of a stream at a point of presence (or a stream there, if players choose their rendition). A cell with
//! few viewers has a player for each of them. In a cell with many, a player decides for several.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::plan::Record;
use super::split;
use crate::time::{Timestamp, UnixTime};
use crate::viewer::audience::{self, Audience, Choice, Visit};
use crate::viewer::chance::{self, Purpose};
use crate::viewer::player::{Chances, Seat};

/// An audience to be divided.
#[derive(Clone, Debug)]
pub struct Division<'a> {
    /// How viewers arrive, stay and leave. Their number stands in `viewers`.
    pub audience: &'a Audience,
    /// Number of viewers.
    pub viewers: u64,
    /// Points of presence, the largest first: their sizes follow Zipf's law, 1/rank.
    pub pops: u32,
    /// Streams, the most popular first, by the same law.
    pub streams: u32,
    /// Average bits per second of each rendition, if each viewer keeps one of them; empty: players choose.
    pub fixed: Vec<u64>,
    /// Most players of a cell.
    pub players_per_cell: u32,
    /// Duration of a segment.
    pub segment: Duration,
    /// The source of all draws.
    pub seed: u64,
    /// UNIX time at the beginning.
    pub unix_at_zero: UnixTime,
}

/// All records, in the order of their arrival.
pub fn divide(division: &Division<'_>) -> Vec<Record> {
    let mut records = Vec::new();
    let of_pops = apportion(division.viewers, division.pops);
    for (pop, viewers) in (0..).zip(of_pops) {
        let mut chance = chance::generator(division.seed, Purpose::Cell, pop);
        let of_streams = deal(viewers, &zipf(division.streams), &mut chance);
        let renditions = division.fixed.len().max(1);
        for (stream, viewers) in (0..).zip(of_streams) {
            if viewers == 0 {
                continue;
            }
            let shares = vec![1.0; renditions];
            let of_renditions = deal(viewers, &shares, &mut chance);
            for (rendition, viewers) in (0..).zip(of_renditions) {
                let cell = Cell {
                    pop,
                    stream,
                    rendition,
                    viewers,
                };
                draw(division, cell, &mut records);
            }
        }
    }
    // The sort keeps the order of cells where viewers arrive at one instant.
    records.sort_by_key(|record| record.seat.arrives);
    records
}

/// A cell and its viewers.
#[derive(Clone, Copy, Debug)]
struct Cell {
    pop: u32,
    stream: u32,
    rendition: u32,
    viewers: u64,
}

/// The records of a cell.
fn draw(division: &Division<'_>, cell: Cell, records: &mut Vec<Record>) {
    let players = cell.viewers.min(division.players_per_cell.max(1).into()) as u32;
    if players == 0 {
        return;
    }
    let name = u64::from(cell.pop) << 40 | u64::from(cell.stream) << 8 | u64::from(cell.rendition);
    // Neighbouring names have generators that share nothing (the finaliser of SplitMix64).
    let seed = mixed(division.seed ^ mixed(name));
    let choice = Choice {
        edges: 1,
        channels: 1,
    };
    let mut visits: Vec<(u32, Visit)> = (0..players)
        .flat_map(|player| {
            let drawn = audience::draw_visits(division.audience, choice, seed, player);
            drawn.map(move |visit| (player, visit))
        })
        .collect();
    visits.sort_by_key(|(player, visit)| (visit.arrives, *player));
    let weight = |player: u32| {
        let rest = (cell.viewers % u64::from(players)) as u32;
        (cell.viewers / u64::from(players)) as u32 + u32::from(player < rest)
    };
    let spreads = spread(&mut visits, division.segment, players, cell.viewers);
    for ((player, visit), spread) in visits.into_iter().zip(spreads) {
        let seek_back_s = division
            .audience
            .seekers
            .map_or(0.0, |seekers| seekers.back_s);
        let back = Duration::try_from_secs_f64(seek_back_s).unwrap_or_default();
        let bps = division.fixed.get(cell.rendition as usize);
        records.push(Record {
            weight: weight(player),
            spread,
            seat: Seat {
                arrives: Timestamp::ZERO + visit.arrives,
                leaves: Timestamp::ZERO + visit.leaves,
                // A viewer that keeps a rendition has a line for it.
                last_mile_bps: visit.last_mile_bps.max(bps.map_or(0, |bps| bps * 2)),
                unix_at_zero: division.unix_at_zero,
                abr: division.audience.abr.rule(),
                manners: division.audience.manners,
                early: visit.early,
                seeks: visit.seeks.map(|at| (Timestamp::ZERO + at, back)),
                chances: Chances {
                    seed,
                    viewer: player,
                },
            },
            edge: cell.pop,
            stream: cell.stream,
            rendition: bps.map(|_| cell.rendition),
        });
    }
}

/// Over which time the viewers behind each player ask. Together the players of a cell leave no gap.
///
/// Viewers who arrive within a moment fill the gap until the next player. If they arrive over many segments, their players are
/// moved by less than a segment, so that they divide the time of a segment among them: viewers who have watched for a while ask
/// evenly over it.
fn spread(
    visits: &mut [(u32, Visit)],
    segment: Duration,
    players: u32,
    viewers: u64,
) -> Vec<Duration> {
    if viewers == u64::from(players) {
        return vec![Duration::ZERO; visits.len()];
    }
    let arrivals = visits.iter().map(|(_, visit)| visit.arrives);
    let (first, last) = (arrivals.clone().min(), arrivals.max());
    let span = last
        .unwrap_or_default()
        .saturating_sub(first.unwrap_or_default());
    if span < segment * 2 {
        let next = visits.iter().skip(1).map(|(_, visit)| visit.arrives);
        let next = next.chain(last.map(|last| last + span / players));
        let gaps = visits.iter().zip(next);
        return gaps
            .map(|((_, visit), next)| next.saturating_sub(visit.arrives).min(segment))
            .collect();
    }
    let each = segment / players;
    let mut free = places(players).into_iter();
    // A player that returns after a break takes its place again.
    let mut place_of = vec![None; players as usize];
    for (player, visit) in visits.iter_mut() {
        let place = place_of[*player as usize].get_or_insert_with(|| free.next().unwrap_or(0));
        let place = segment.mul_f64(f64::from(*place) / f64::from(players));
        let nanos = segment.as_nanos().max(1);
        let begun = visit.arrives.as_nanos() / nanos * nanos;
        let moved = Duration::from_nanos(begun as u64) + place;
        visit.leaves = visit.leaves.max(moved);
        visit.arrives = moved;
    }
    vec![each; visits.len()]
}

/// The places of so many players on an even grid, in the order in which players arrive. Neighbours in time are kept apart in phase:
/// the order is that of the van der Corput sequence, in which each number halves a gap that the numbers before it have left.
fn places(players: u32) -> Vec<u32> {
    let mut sequence: Vec<u32> = (0..players).collect();
    sequence.sort_unstable_by_key(|nth| nth.reverse_bits());
    let mut places = vec![0; players as usize];
    for (place, nth) in (0..).zip(sequence) {
        places[nth as usize] = place;
    }
    places
}

/// A number of viewers in shares of Zipf's law, rounded so that the sum is kept.
fn apportion(viewers: u64, places: u32) -> Vec<u64> {
    let shares = zipf(places);
    let whole: f64 = shares.iter().sum();
    let exact = shares.iter().map(|share| viewers as f64 * share / whole);
    let mut given: Vec<u64> = exact.clone().map(|share| share as u64).collect();
    let mut rest: Vec<(usize, f64)> = exact.map(f64::fract).enumerate().collect();
    rest.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let missing = viewers.saturating_sub(given.iter().sum());
    for (place, _) in rest.into_iter().cycle().take(missing as usize) {
        given[place] += 1;
    }
    given
}

/// Deals viewers out by shares, each by its own draw.
fn deal(viewers: u64, shares: &[f64], chance: &mut ChaCha8Rng) -> Vec<u64> {
    let mut left = viewers;
    let mut whole: f64 = shares.iter().sum();
    let last = shares.len().saturating_sub(1);
    let dealt = shares.iter().enumerate().map(|(index, share)| {
        let here = match index == last {
            true => left,
            false => split::binomial_of(left, share / whole, chance),
        };
        left -= here;
        whole -= share;
        here
    });
    dealt.collect()
}

fn zipf(places: u32) -> Vec<f64> {
    (1..=places.max(1))
        .map(|rank| 1.0 / f64::from(rank))
        .collect()
}

fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_viewer_is_lost_in_the_division() {
        for (viewers, places) in [(0, 3), (1, 300), (1_000_003, 300), (50_000_000, 7)] {
            let given = apportion(viewers, places);
            assert_eq!(given.iter().sum::<u64>(), viewers);
            assert!(given.is_sorted_by(|one, other| one >= other), "{given:?}");
        }
        let mut chance = chance::generator(1, Purpose::Cell, 0);
        let dealt = deal(1_000, &[1.0, 2.0, 1.0], &mut chance);
        assert_eq!(dealt.iter().sum::<u64>(), 1_000);
        assert!((430..570).contains(&dealt[1]), "{dealt:?}");
    }

    #[test]
    fn players_divide_a_segment_evenly_however_many_they_are() {
        assert_eq!(places(4), [0, 2, 1, 3]);
        assert_eq!(places(5), [0, 3, 2, 4, 1]);
        let segment = Duration::from_secs(3);
        for players in [1, 5, 10, 16] {
            let visit = |player: u32, arrives_s: u64| Visit {
                viewer: player,
                arrives: Duration::from_secs(arrives_s),
                leaves: Duration::from_secs(200),
                edge: 0,
                last_mile_bps: 1,
                channel: 0,
                seeks: None,
                early: false,
            };
            let first = (0..players).map(|player| (player, visit(player, player.into())));
            // All of them return, in another order.
            let second =
                (0..players).map(|player| (player, visit(player, 100 - u64::from(player))));
            let mut visits: Vec<_> = first.chain(second).collect();
            visits.sort_by_key(|(player, visit)| (visit.arrives, *player));
            let spreads = spread(&mut visits, segment, players, 1_000);
            assert!(spreads.iter().all(|each| *each == segment / players));
            let mut phases = vec![Vec::new(); players as usize];
            for (player, visit) in &visits {
                let nanos = visit.arrives.as_nanos() % segment.as_nanos();
                phases[*player as usize].push(nanos);
            }
            assert!(phases.iter().all(|both| both[0] == both[1]), "{phases:?}");
            phases.sort();
            for (nth, both) in (0..).zip(phases) {
                assert_eq!(both[0], (segment * nth / players).as_nanos());
            }
        }
    }
}
