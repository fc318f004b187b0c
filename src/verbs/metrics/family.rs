//! What is measured: the families of metrics, their samples, and all of them as text and as JSON.
//!
//! Names and labels are those of `docs/metrics.md`; a test compares. Takes numbers; gives text. Not here: where the numbers come
//! from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::cli::Form;

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// One that only grows; its samples have the ending `_total`.
    Counter,
    /// One that goes up and down.
    Gauge,
}

/// A family of metrics: numbers of one meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Without the ending `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

impl Family {
    /// Numbers that only grow.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            help,
        }
    }

    /// Numbers that go up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            help,
        }
    }

    /// The name of its samples.
    pub(super) fn sample(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge => self.name.to_owned(),
        }
    }
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Number {
    /// A whole one.
    Whole(u64),
    /// A time in seconds.
    Seconds(f64),
}

/// What tells the samples of a family apart.
pub(super) type Labels = Vec<(&'static str, String)>;

/// All that was measured, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Metrics(BTreeMap<&'static str, (&'static Family, BTreeMap<Labels, Number>)>);

impl Metrics {
    /// Counts a number in; numbers of a counter that nothing tells apart are one sum.
    pub(super) fn add(&mut self, family: &'static Family, labels: Labels, number: u64) {
        let samples = self.samples(family);
        let before = match (family.kind, samples.get(&labels)) {
            (Kind::Counter, Some(Number::Whole(before))) => *before,
            _ => 0,
        };
        samples.insert(labels, Number::Whole(before.wrapping_add(number)));
    }

    /// A time.
    pub(super) fn seconds(&mut self, family: &'static Family, labels: Labels, seconds: f64) {
        self.samples(family)
            .insert(labels, Number::Seconds(seconds));
    }

    fn samples(&mut self, family: &'static Family) -> &mut BTreeMap<Labels, Number> {
        let entry = self.0.entry(family.name);
        &mut entry.or_insert_with(|| (family, BTreeMap::new())).1
    }

    /// All of it as text.
    pub(super) fn text(self: &Arc<Self>, form: Form) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        let written = match form {
            Form::Openmetrics => text::encode(&mut text, &registry),
            Form::Prometheus => prometheus_text::encode(&mut text, &registry),
        };
        // A string takes whatever is written.
        written.map_or_else(|_| String::new(), |()| text)
    }

    /// All of it for `--json`.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let families = self.0.values();
        families
            .map(|(family, samples)| Row {
                name: family.sample(),
                kind: family.kind,
                help: family.help,
                samples: samples.iter().map(Sample::of).collect(),
            })
            .collect()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (family, samples) in self.0.values() {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut encoder = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, number) in samples {
                let encoder = encoder.encode_family(labels)?;
                sample(family.kind, *number, encoder)?;
            }
        }
        Ok(())
    }
}

fn sample(kind: Kind, number: Number, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match (kind, number) {
        (Kind::Counter, Number::Whole(number)) => ConstCounter::new(number).encode(encoder),
        (Kind::Counter, Number::Seconds(number)) => ConstCounter::new(number).encode(encoder),
        (Kind::Gauge, Number::Whole(number)) => ConstGauge::new(number).encode(encoder),
        (Kind::Gauge, Number::Seconds(number)) => ConstGauge::new(number).encode(encoder),
    }
}

/// A family in JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    name: String,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample<'a>>,
}

/// A sample in JSON.
#[derive(Serialize)]
struct Sample<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    value: Number,
}

impl<'a> Sample<'a> {
    fn of((labels, value): (&'a Labels, &Number)) -> Self {
        Self {
            labels: labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect(),
            value: *value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SEEN: Family = Family::counter("seen", "What was seen.");
    static FULL: Family = Family::gauge("full", "How full it is.");

    #[test]
    fn counters_that_nothing_tells_apart_are_one_sum_and_texts_are_escaped() {
        let made = || {
            let mut metrics = Metrics::default();
            let labels = || vec![("rule", "a \"b\"\\\nc".to_owned())];
            metrics.add(&SEEN, labels(), u64::MAX - 5);
            metrics.add(&SEEN, labels(), 3);
            metrics.add(&FULL, Vec::new(), 7);
            metrics.add(&FULL, Vec::new(), 8);
            Arc::new(metrics)
        };
        assert_eq!(
            made().text(Form::Openmetrics),
            "# HELP full How full it is.\n# TYPE full gauge\nfull 8\n\
             # HELP seen What was seen.\n# TYPE seen counter\n\
             seen_total{rule=\"a \\\"b\\\"\\\\\\nc\"} 18446744073709551613\n# EOF\n"
        );
        let older = made().text(Form::Prometheus);
        assert!(older.contains("# TYPE seen_total counter\n"), "{older}");
        assert!(!older.contains("# EOF"), "{older}");
    }
}
