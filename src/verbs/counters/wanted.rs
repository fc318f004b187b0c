//! Which rules a command line names.

use std::path::Path;

use sockc_compiler::artifact::Counter;
use sockc_runtime::CounterValue;

use crate::exit::Exit;
use crate::output::Output;

/// Whether a counter is that of a rule by its label, its line, or its file and line.
fn is_meant(value: &CounterValue, rule: &str) -> bool {
    names_counter(&value.counter, rule)
}

/// The same of a counter without its value.
pub(crate) fn names_counter(counter: &Counter, rule: &str) -> bool {
    if counter.label.as_deref() == Some(rule) {
        return true;
    }
    let (file, line) = match rule.rsplit_once(':') {
        Some((file, line)) => (Some(file), line),
        None => (None, rule),
    };
    let location = &counter.location;
    let same_file = file.is_none_or(|file| Path::new(&*location.file).ends_with(file));
    location.line != 0 && same_file && line.parse() == Ok(location.line)
}

/// The counters of these rules; all where none is named.
pub(super) fn chosen(
    mut values: Vec<CounterValue>,
    rules: &[String],
    output: &mut Output,
) -> Result<Vec<CounterValue>, Exit> {
    all_there(&values, rules, output)?;
    values.retain(|value| is_chosen(value, rules));
    Ok(values)
}

/// Whether a counter is that of one of these rules, or none is named.
pub(super) fn is_chosen(value: &CounterValue, rules: &[String]) -> bool {
    rules.is_empty() || rules.iter().any(|rule| is_meant(value, rule))
}

/// Refuses a rule that no counter is of.
pub(super) fn all_there(
    values: &[CounterValue],
    rules: &[String],
    output: &mut Output,
) -> Result<(), Exit> {
    for rule in rules {
        if !values.iter().any(|value| is_meant(value, rule)) {
            output.error(format!(
                "no rule in force has the label `{rule}` or stands on such a line; `sockc counters` shows all of them"
            ));
            return Err(Exit::Usage);
        }
    }
    Ok(())
}
