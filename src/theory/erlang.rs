//! An origin that answers a limited number of requests at once and refuses the others: Erlang's loss formula.

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
