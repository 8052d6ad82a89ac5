//! The viewers' own network. It may fail: for a while some viewers reach no edge.

use std::sync::Arc;

use tokio::sync::watch;

use crate::viewer::audience::is_cut_off;

/// The network of all viewers; copies share it. By default it never fails, and costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Network {
    cut: Option<Arc<watch::Sender<Cut>>>,
}

/// Which share of the viewers is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cut {
    percent: f64,
}

impl Cut {
    fn hits(self, viewer: u32) -> bool {
        is_cut_off(viewer, self.percent)
    }
}

impl Network {
    /// A network that can be cut.
    pub fn that_may_fail() -> Self {
        Self {
            cut: Some(Arc::new(watch::channel(Cut::default()).0)),
        }
    }

    /// Cuts off this share of the viewers: their open connections break, and new attempts fail at once.
    pub fn cut(&self, percent: f64) {
        self.become_so(Cut { percent });
    }

    /// Ends the cut: every viewer reaches the edges again.
    pub fn restore(&self) {
        self.become_so(Cut::default());
    }

    fn become_so(&self, cut: Cut) {
        let network = self.cut.as_ref();
        let network = network.expect("who cuts a network has made one that may fail");
        network.send_replace(cut);
    }

    /// Ends when this viewer is cut off.
    pub(super) async fn breaks_for(&self, viewer: u32) {
        let Some(network) = &self.cut else {
            return std::future::pending().await;
        };
        let mut cut = network.subscribe();
        let broken = cut.wait_for(|cut| cut.hits(viewer)).await.is_ok();
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
        let network = Network::that_may_fail();
        let cut_off = || {
            let cut = *network.cut.as_ref().unwrap().borrow();
            (0..1_000).filter(|&viewer| cut.hits(viewer)).count()
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
