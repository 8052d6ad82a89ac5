//! The share of requests that an origin refuses. It answers a limited number at once (Erlang's loss formula), and may let some
//! wait (the M/M/c/K queue).

/// Share of requests that find all `slots` taken and are shed (Erlang-B). Requests arrive as a Poisson process.
/// `offered` is the mean number under way if none were shed: arrival rate times mean fetch time. The distribution of
/// fetch times does not matter.
pub fn shed_share(slots: u32, offered: f64) -> f64 {
    // B(0) = 1; B(c) = aB(c-1) / (c + aB(c-1)). Every step stays within [0, 1], where a^c / c! would overflow.
    (1..=slots).fold(1.0, |share, slots| {
        let waiting = offered * share;
        waiting / (f64::from(slots) + waiting)
    })
}

/// Share of requests that find all `slots` and all `queue` places taken (M/M/c/K). It holds for exponential fetch times; for
/// other laws it is near where the origin is far from or far beyond its capacity. Without a queue it is [`shed_share`].
pub fn shed_share_queued(slots: u32, queue: u32, offered: f64) -> f64 {
    let all_busy = shed_share(slots, offered);
    if slots == 0 || offered <= 0.0 {
        return all_busy;
    }
    // B / (x^q + B (1 + x + ... + x^(q-1))) with x = c/a, which does not overflow above capacity; below it, x^q may become
    // infinite, and the share is zero.
    let spare = f64::from(slots) / offered;
    let (mut power, mut sum) = (1.0, 0.0);
    for _ in 0..queue {
        sum += power;
        power *= spare;
    }
    all_busy / (power + all_busy * sum)
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    #[test]
    fn a_hundred_slots_under_an_offered_load_of_a_hundred_shed_7_57_percent() {
        // (slots, offered load, share)
        for (slots, offered, share) in [
            (100, 100.0, 0.075_70),
            (0, 3.0, 1.0),
            (1, 1.0, 0.5),
            (2, 1.0, 0.2),
            (10, 0.0, 0.0),
        ] {
            close(shed_share(slots, offered), share, 5e-6);
        }
    }

    #[test]
    fn with_more_slots_than_any_factorial_holds_it_is_still_a_share() {
        close(shed_share(20_000, 25_000.0), 0.2, 1e-3);
        close(shed_share(20_000, 10_000.0), 0.0, 1e-300);
    }

    #[test]
    fn a_queue_lets_fewer_requests_go_and_none_where_there_is_no_load() {
        // (slots, queue, offered load, share): M/M/1/K is (1 - a) a^K / (1 - a^(K+1)), or 1 / (K + 1) for a = 1.
        for (slots, queue, offered, share) in [
            (1, 0, 1.0, 0.5),
            (1, 3, 1.0, 0.2),
            (1, 2, 0.5, 0.066_667),
            (1, 2, 2.0, 0.533_333),
            (10, 20, 0.0, 0.0),
            (0, 5, 3.0, 1.0),
            (10, 1_000, 40.0, 0.75),
            (10, 100_000, 1.0, 0.0),
        ] {
            close(shed_share_queued(slots, queue, offered), share, 5e-6);
        }
    }

    #[test]
    fn drawn_requests_with_a_fixed_fetch_time_are_shed_as_often() {
        const REQUESTS: u32 = 100_000;
        let mut chance = Chance::of(3);
        let mut busy_until = [0.0; 10];
        let (mut now, mut shed) = (0.0, 0_u32);
        for _ in 0..REQUESTS {
            now += chance.gap(8.0);
            match busy_until.iter_mut().find(|until| **until <= now) {
                Some(until) => *until = now + 1.0,
                None => shed += 1,
            }
        }
        close(
            f64::from(shed) / f64::from(REQUESTS),
            shed_share(10, 8.0),
            0.006,
        );
    }
}
