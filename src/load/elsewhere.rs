//! What is counted at other people's servers: redirects, and the hosts that answered.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use url::Url;

/// Hosts that are told apart; a stream with more names them all "others".
const HOSTS_MAX: usize = 32;

/// The counts of a run.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    redirects: AtomicU64,
    hosts: Mutex<BTreeMap<String, u64>>,
}

impl Elsewhere {
    /// A server has answered at this address.
    pub(super) fn on_answer(&self, url: &Url) {
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut hosts = self.hosts.lock().expect("no holder of this lock panics");
        if let Some(count) = hosts.get_mut(host) {
            *count += 1;
            return;
        }
        let host = match hosts.len() < HOSTS_MAX {
            true => host,
            false => "others",
        };
        *hosts.entry(host.to_owned()).or_default() += 1;
    }

    /// An answer was a redirect.
    pub(super) fn on_redirect(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    /// Redirects so far.
    pub(super) fn redirects(&self) -> u64 {
        self.redirects.load(Ordering::Relaxed)
    }

    /// Answers of each host.
    pub(super) fn hosts(&self) -> BTreeMap<String, u64> {
        let hosts = self.hosts.lock().expect("no holder of this lock panics");
        hosts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_up_to_a_bound() {
        let elsewhere = Elsewhere::default();
        let answers = |host: usize| {
            elsewhere.on_answer(&Url::parse(&format!("http://h{host:02}:81/a")).unwrap());
        };
        (0..HOSTS_MAX).for_each(answers);
        answers(0);
        answers(90);
        answers(91);
        let hosts = elsewhere.hosts();
        assert_eq!(hosts.len(), HOSTS_MAX + 1);
        assert_eq!((hosts["h00:81"], hosts["others"]), (2, 2));
    }
}
