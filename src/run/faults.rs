//! Faults of a scenario: injected at a cluster when they are due, and repaired when they are over.

use std::time::Duration;

use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::load::Network;
use crate::report::record;
use crate::run::cluster::Cluster;
use crate::scenario::{self, FaultKind};
use crate::serve::clock::Clock;
use crate::serve::origin::AnswerFault;
use crate::time::Timestamp;

impl Cluster<'_> {
    /// Injects the faults of a scenario when they are due, until all are done or the run ends; then repairs them. Returns the
    /// faults that were injected.
    pub async fn inject_faults(
        &self,
        faults: &[scenario::Fault],
        began: Timestamp,
        network: &Network,
        clock: Clock,
        stop: &CancellationToken,
    ) -> Vec<(FaultKind, record::FaultRecord)> {
        let seconds = |span: f64| Duration::try_from_secs_f64(span).unwrap_or_default();
        let acts = faults.iter().map(|fault| async move {
            let due = |at_s: f64| clock.instant(began + seconds(at_s));
            let waiting = stop.run_until_cancelled(tokio::time::sleep_until(due(fault.at_s)));
            waiting.await?;
            let from = clock.now().since(began);
            let mut what = fault.what.to_string();
            if let Err(error) = self.begin_fault(fault.what, network).await {
                tracing::error!("{what}: that could not be done: {error:#}");
                what += " (could not be done)";
            }
            let mut until = None;
            if let FaultKind::EdgeRestarted(_) = fault.what {
                until = Some(clock.now().since(began));
            } else if let Some(until_s) = fault.until_s {
                let over = tokio::time::sleep_until(due(until_s));
                let over = async {
                    if let FaultKind::ClockDrift(millis) = fault.what {
                        tokio::select! {
                            () = self.drift(millis, clock) => {}
                            () = over => {}
                        }
                    } else {
                        over.await;
                    }
                };
                stop.run_until_cancelled(over).await;
                match self.mend(fault.what, network).await {
                    Ok(()) => until = Some(clock.now().since(began)),
                    Err(error) => {
                        tracing::error!("{what}: its end could not be brought about: {error:#}");
                    }
                }
            } else if let FaultKind::ClockDrift(millis) = fault.what {
                stop.run_until_cancelled(self.drift(millis, clock)).await;
            }
            Some((fault.what, record::FaultRecord { from, until, what }))
        });
        let mut done: Vec<_> = futures_util::future::join_all(acts)
            .await
            .into_iter()
            .flatten()
            .collect();
        done.sort_by_key(|(_, fault)| fault.from);
        // The next run at this cluster finds it unchanged, except that lost edges stay lost.
        for (what, _) in done.iter().filter(|(_, fault)| fault.until.is_none()) {
            if what.edge().is_none() {
                let _ = self.mend(*what, network).await;
            }
        }
        done
    }

    /// Delays the broadcaster's clock more and more, until the future is dropped.
    async fn drift(&self, millis_per_second: f64, clock: Clock) {
        let begun = clock.now();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let lost = clock.now().since(begun).mul_f64(millis_per_second / 1e3);
            self.origin.pace.be_late(lost);
        }
    }

    /// Opens the origin's port again. The port is free only when the last old connection has ended, so this tries several
    /// times.
    async fn reopen(&self) -> anyhow::Result<()> {
        const ATTEMPTS: u32 = 50;
        for _ in 1..ATTEMPTS {
            if self.origin.reopen().is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(self.origin.reopen()?)
    }

    async fn begin_fault(&self, fault: FaultKind, network: &Network) -> anyhow::Result<()> {
        let faults = self.origin.origin.faults();
        match fault {
            FaultKind::EdgeKilled(edge) => self.edges.process_of(edge)?.kill().await?,
            FaultKind::EdgeSilent(edge) => {
                self.edges.process_of(edge)?.signal(Signal::STOP).await;
            }
            FaultKind::EdgeRestarted(edge) => {
                let edge = self.edges.process_of(edge)?;
                edge.end().await;
                edge.revive().await?;
            }
            FaultKind::OriginSlow(millis) => {
                let longer = Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
                faults.begin(AnswerFault::Slow(longer));
            }
            FaultKind::OriginUnavailable(percent) => {
                faults.begin_for_some(percent, AnswerFault::Unavailable);
            }
            FaultKind::OriginStopped => self.origin.shut(),
            FaultKind::StreamStalled => self.origin.pace.stall(),
            FaultKind::ClockDrift(_) => {}
            FaultKind::ViewersOffline(percent) => network.cut(percent),
        }
        Ok(())
    }

    async fn mend(&self, fault: FaultKind, network: &Network) -> anyhow::Result<()> {
        match fault {
            FaultKind::EdgeKilled(edge) => self.edges.process_of(edge)?.revive().await?,
            FaultKind::EdgeSilent(edge) => {
                self.edges.process_of(edge)?.signal(Signal::CONT).await;
            }
            FaultKind::EdgeRestarted(_) => {}
            FaultKind::OriginSlow(_) | FaultKind::OriginUnavailable(_) => {
                self.origin.origin.faults().end();
            }
            FaultKind::OriginStopped => self.reopen().await?,
            FaultKind::StreamStalled | FaultKind::ClockDrift(_) => self.origin.pace.recover(),
            FaultKind::ViewersOffline(_) => network.restore(),
        }
        Ok(())
    }
}
