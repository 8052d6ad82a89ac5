//! Which of a viewer's numbered hearts have been counted: the newest number, and one bit for each of the last 64.

/// How many numbers, the newest included, the window can tell apart.
pub const WIDTH: u64 = u64::BITS as u64;

/// The counted numbers. Hearts may arrive in any order, if they are at most 63 behind the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The newest number; 0 if there is none yet.
    pub newest: u64,
    /// Bit `i`: `newest - i` has been counted.
    pub seen: u64,
    /// How many hearts the newest number added.
    pub newest_count: u32,
}

/// What a window tells about a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The number was not counted before: it counts.
    New,
    /// The number was counted before.
    Again,
    /// The number was counted with another number of hearts. This is known for the newest only.
    Other,
    /// The number is too old: it is unknown whether it was counted.
    TooOld,
}

impl Window {
    /// What the window tells about heart `number` (from 1), which adds `count`.
    pub fn judge(&self, number: u64, count: u32) -> Seen {
        if number > self.newest {
            return Seen::New;
        }
        let behind = self.newest - number;
        if behind == 0 && count != self.newest_count {
            return Seen::Other;
        }
        match behind {
            WIDTH.. => Seen::TooOld,
            _ if self.seen >> behind & 1 == 1 => Seen::Again,
            _ => Seen::New,
        }
    }

    /// Marks a new number as counted.
    pub fn mark(&mut self, number: u64, count: u32) {
        if number > self.newest {
            let ahead = number - self.newest;
            self.seen = if ahead < WIDTH { self.seen << ahead } else { 0 } | 1;
            (self.newest, self.newest_count) = (number, count);
        } else {
            self.seen |= 1 << (self.newest - number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_numbers_are_told_apart_and_older_ones_are_not_guessed() {
        let mut window = Window::default();
        window.mark(100, 3);
        assert_eq!(window.judge(100, 3), Seen::Again);
        assert_eq!(window.judge(100, 4), Seen::Other);
        assert_eq!(window.judge(37, 1), Seen::New);
        assert_eq!(window.judge(36, 1), Seen::TooOld);
        window.mark(37, 1);
        assert_eq!(window.judge(37, 1), Seen::Again);
        window.mark(101, 1);
        assert_eq!(window.judge(37, 1), Seen::TooOld);
        assert_eq!(window.judge(100, 1), Seen::Again);
        window.mark(1_000, 1);
        assert_eq!(window.judge(999, 1), Seen::New);
        assert_eq!(window.judge(936, 1), Seen::TooOld);
    }

    #[test]
    fn the_first_numbers_and_the_last_have_no_edge() {
        let mut window = Window::default();
        assert_eq!(window.judge(1, 1), Seen::New);
        window.mark(1, 1);
        window.mark(u64::MAX, 1);
        assert_eq!(window.judge(u64::MAX, 1), Seen::Again);
        assert_eq!(window.judge(u64::MAX - 63, 1), Seen::New);
    }
}
