//! The cost of the durable queue of likes, as ratios within one run: `cargo bench --bench likes`, or with `-- --quick` a
//! shorter run.
//!
//! Figures that depend on the disk or on other load stand beside others measured in turn with them; the table shows the median
//! of the pairs. A missed goal is marked and fails nothing. If something cannot be measured, the program ends with an error.
//! Logs are kept below `target/`, because a folder for temporary files may not be on a disk.

mod http;
mod jetstream;
mod log;
mod overload;
mod process;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    if !given("--bench") {
        // `cargo test --all-targets` starts benchmarks too.
        println!("nothing to test here: run `cargo bench --bench likes`");
        return Ok(());
    }
    let (pairs, run) = if given("--quick") {
        (1, Duration::from_secs(2))
    } else {
        (5, Duration::from_secs(4))
    };
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let folder = tempfile::Builder::new()
        .prefix("bench-likes")
        .tempdir_in(&target)
        .with_context(|| format!("no folder can be made in {}", target.display()))?;
    println!("| what | Seawall | beside it | ratio | goal | met |\n|---|---|---|---|---|---|");
    for row in http::rows(folder.path(), pairs, run)? {
        println!("{row}");
    }
    println!("{}", log::grouped(folder.path(), pairs)?);
    println!("{}", log::recovered(folder.path())?);
    println!("{}", jetstream::batched(folder.path(), pairs, run)?);
    let runtime = tokio::runtime::Runtime::new()?;
    for row in runtime.block_on(overload::rows(run))? {
        println!("{row}");
    }
    Ok(())
}

/// One line of the table.
fn row(what: &str, [ours, beside]: [String; 2], ratio: f64, goal: &str, met: bool) -> String {
    let met = if met { "yes" } else { "no" };
    let ratio = if ratio.is_finite() {
        format!("{ratio:.2}")
    } else {
        "-".to_owned()
    };
    format!("| {what} | {ours} | {beside} | {ratio} | {goal} | {met} |")
}

/// The middle value.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
