//! Prometheus' text format, version 0.0.4, as far as watching a cluster needs it: names, labels, values.
//!
//! Written here because `prometheus-parse` splits labels at every comma and drops a value that holds `=` or `}`. A
//! client's name may contain these characters.

use std::collections::{BTreeMap, HashMap};

/// Labels of one series, by name.
pub type Labels = BTreeMap<String, String>;

/// The result of one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape(HashMap<String, BTreeMap<Labels, f64>>);

/// Selects the series of a family that carry all of these labels.
pub type Filter<'a> = &'a [(&'a str, &'a str)];

impl Scrape {
    /// Parses an exposition. A malformed line is skipped, because other programs may expose more than this parser
    /// knows.
    pub fn parse(text: &str) -> Self {
        let mut families: HashMap<String, BTreeMap<Labels, f64>> = HashMap::new();
        for line in text.lines().map(str::trim) {
            if let Some((name, labels, value)) = sample(line) {
                let family = families.entry(name.to_owned()).or_default();
                family.insert(labels, value);
            }
        }
        Self(families)
    }

    /// Whether any series has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of a label on the first series of a family.
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        let (labels, _) = self.0.get(name)?.first_key_value()?;
        labels.get(label).map(String::as_str)
    }

    /// Every series of a family.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let family = self.0.get(name).into_iter().flatten();
        family.map(|(labels, value)| (labels, *value))
    }

    /// The sum over the selected series; `None` if there is none.
    pub fn sum(&self, name: &str, filter: Filter<'_>) -> Option<f64> {
        let meant = self.series(name).filter(|(labels, _)| fits(labels, filter));
        meant.map(|(_, value)| value).reduce(|a, b| a + b)
    }

    /// Growth of the selected counters since `before`, never negative. A counter below its old value has restarted at
    /// 0, and a new counter started at 0.
    pub fn increase(&self, before: &Self, name: &str, filter: Filter<'_>) -> f64 {
        let meant = self.series(name).filter(|(labels, _)| fits(labels, filter));
        meant
            .map(|(labels, value)| grown(before.value(name, labels), value))
            .sum()
    }

    /// Growth of each bucket of the selected histograms, summed by upper bound. The result is cumulative, as in the
    /// text, and ascending.
    pub fn buckets_increase(
        &self,
        before: &Self,
        name: &str,
        filter: Filter<'_>,
    ) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, value) in self.series(&name) {
            let Some(bound) = labels.get("le").and_then(|bound| bound.parse().ok()) else {
                continue;
            };
            if fits(labels, filter) {
                let grown = grown(before.value(&name, labels), value);
                add(&mut buckets, bound, grown);
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.0.get(name)?.get(labels).copied()
    }
}

/// Adds to the bucket with this upper bound.
pub fn add(buckets: &mut Vec<(f64, f64)>, bound: f64, count: f64) {
    match buckets.iter_mut().find(|bucket| bucket.0 == bound) {
        Some(bucket) => bucket.1 += count,
        None => buckets.push((bound, count)),
    }
}

/// What a histogram tells about a quantile. It does not tell where between two bounds the quantile lies, so only the
/// bound is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The quantile is at most this.
    AtMost(f64),
    /// The quantile is above the last finite bound.
    Over(f64),
}

/// The bound on the quantile `q`; `None` if nothing was observed.
pub fn quantile_bound(cumulative: &[(f64, f64)], q: f64) -> Option<Bound> {
    let (_, total) = *cumulative.last()?;
    if total <= 0.0 {
        return None;
    }
    let index = cumulative
        .iter()
        .position(|(_, count)| *count >= q * total)?;
    let (bound, _) = cumulative[index];
    Some(if bound.is_finite() {
        Bound::AtMost(bound)
    } else {
        let last = index.checked_sub(1).map_or(0.0, |last| cumulative[last].0);
        Bound::Over(last)
    })
}

fn grown(before: Option<f64>, now: f64) -> f64 {
    match before {
        Some(before) if before <= now => now - before,
        _ => now,
    }
}

fn fits(labels: &Labels, filter: Filter<'_>) -> bool {
    let carries =
        |(name, value): &(&str, &str)| labels.get(*name).is_some_and(|found| found == value);
    filter.iter().all(carries)
}

/// Parses `name{label="value",...} value [timestamp]`; `None` for a comment.
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, labels, value))
}

/// Parses labels up to and including the closing brace. Returns them and the rest of the text.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut found = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((found, behind));
        }
        let (name, quoted) = rest.split_once('=')?;
        let (value, behind) = quoted_value(quoted.trim_start().strip_prefix('"')?)?;
        found.insert(name.trim().to_owned(), value);
        rest = behind;
    }
}

/// Parses a value up to its closing quote. Returns the unescaped value and the rest of the text.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposition_is_read_with_whatever_a_label_may_hold() {
        let text = r#"
# HELP hits Requests.
# TYPE hits counter
hits{client="a,b=}\"\\c",kind="segment"} 3
hits{client="b",kind="segment",} 4 1700000000000
up 1
broken{kind="x 1
nothing NaN
"#;
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.sum("hits", &[]), Some(7.0));
        assert_eq!(
            scrape.sum("hits", &[("client", r#"a,b=}"\c"#), ("kind", "segment")]),
            Some(3.0)
        );
        assert_eq!(scrape.sum("up", &[]), Some(1.0));
        assert_eq!(scrape.sum("hits", &[("kind", "other")]), None);
        assert_eq!(scrape.label("hits", "kind"), Some("segment"));
        assert!(!scrape.has("broken") && !scrape.has("nothing"));
    }

    #[test]
    fn a_counter_that_began_again_has_not_gone_back() {
        let before = Scrape::parse("c{k=\"a\"} 100\nc{k=\"b\"} 10");
        let after = Scrape::parse("c{k=\"a\"} 5\nc{k=\"b\"} 12\nc{k=\"new\"} 1");
        assert_eq!(after.increase(&before, "c", &[]), 5.0 + 2.0 + 1.0);
        assert_eq!(after.increase(&before, "c", &[("k", "b")]), 2.0);
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let before = Scrape::parse("h_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 1");
        let after = Scrape::parse(
            "h_bucket{le=\"0.1\"} 99\nh_bucket{le=\"1\"} 100\nh_bucket{le=\"+Inf\"} 101",
        );
        let buckets = after.buckets_increase(&before, "h", &[]);
        assert_eq!(buckets, [(0.1, 98.0), (1.0, 100.0), (f64::INFINITY, 100.0)]);
        assert_eq!(quantile_bound(&buckets, 0.5), Some(Bound::AtMost(0.1)));
        assert_eq!(quantile_bound(&buckets, 0.99), Some(Bound::AtMost(1.0)));
        assert_eq!(quantile_bound(&[(1.0, 0.0)], 0.99), None);
        assert_eq!(
            quantile_bound(&[(1.0, 1.0), (f64::INFINITY, 9.0)], 0.99),
            Some(Bound::Over(1.0))
        );
    }
}
