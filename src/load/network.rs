//! The viewers' own network, which may fail: for a while a part of them reaches nobody.

use std::sync::Arc;

use tokio::sync::watch;

/// The network of all viewers; copies share it.
#[derive(Clone, Debug)]
pub struct Network {
    cut: Arc<watch::Sender<Cut>>,
}

/// Who is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cut {
    percent: f64,
}

impl Cut {
    /// Viewers are cut off by their number, so the same ones every time, spread over all who came.
    fn hits(self, viewer: u32) -> bool {
        // The golden ratio spreads successive numbers evenly over the circle.
        let place = f64::from(viewer) * 0.618_033_988_749_894_9;
        place.fract() * 100.0 < self.percent
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            cut: Arc::new(watch::channel(Cut::default()).0),
        }
    }
}

impl Network {
    /// Cuts off this share of the viewers: what they have open breaks, and what they try fails at once.
    pub fn cut(&self, percent: f64) {
        self.cut.send_replace(Cut { percent });
    }

    /// All is well again.
    pub fn restore(&self) {
        self.cut.send_replace(Cut::default());
    }

    /// Ends when this viewer is cut off.
    pub(super) async fn breaks_for(&self, viewer: u32) {
        let broken = self
            .cut
            .subscribe()
            .wait_for(|cut| cut.hits(viewer))
            .await
            .is_ok();
        if !broken {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_cut_off_is_the_one_that_was_asked_for() {
        let network = Network::default();
        let cut_off = || {
            (0..1_000)
                .filter(|&viewer| network.cut.borrow().hits(viewer))
                .count()
        };
        assert_eq!(cut_off(), 0);
        network.cut(30.0);
        assert!((290..310).contains(&cut_off()), "{}", cut_off());
        network.cut(100.0);
        assert_eq!(cut_off(), 1_000);
        network.restore();
        assert_eq!(cut_off(), 0);
    }
}
