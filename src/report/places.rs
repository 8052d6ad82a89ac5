//! Places over time: what happened at which point of presence, and when.

use std::time::Duration;

/// Figures by place and time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// The places, from top to bottom; each may stand for several.
    pub names: Vec<String>,
    /// The width of a column.
    pub width: Duration,
    /// The figures, each a map of its own.
    pub maps: Vec<PlaceMap>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceMap {
    /// What it is.
    pub title: &'static str,
    /// The values, row by row; in each row from the beginning to the end.
    pub values: Vec<f64>,
}

impl Places {
    /// The number of columns of a map.
    pub(super) fn columns(&self, map: &PlaceMap) -> usize {
        map.values.len() / self.names.len().max(1)
    }

    /// The greatest value of a map, and where and when it is.
    pub(super) fn peak(&self, map: &PlaceMap) -> Option<(f64, &str, Duration)> {
        let columns = self.columns(map);
        let values = map.values.iter().copied().enumerate();
        let (index, value) = values.max_by(|one, other| one.1.total_cmp(&other.1))?;
        let name = self.names.get(index / columns.max(1))?;
        let since = self.width * (index % columns.max(1)) as u32;
        (value > 0.0).then_some((value, name, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_named_by_its_place_and_its_time() {
        let map = |values: &[f64]| PlaceMap {
            title: "failures per second",
            values: values.to_vec(),
        };
        let places = Places {
            names: vec!["edge-1".to_owned(), "edge-2".to_owned()],
            width: Duration::from_secs(10),
            maps: Vec::new(),
        };
        let peak = places.peak(&map(&[0.0, 1.0, 2.0, 0.0, 7.0, 3.0]));
        let expected = (7.0, "edge-2", Duration::from_secs(10));
        assert_eq!(peak.map(|peak| (peak.0, peak.1, peak.2)), Some(expected));
        assert_eq!(places.peak(&map(&[0.0; 6])), None);
    }
}
