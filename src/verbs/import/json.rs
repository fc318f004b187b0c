//! Bindings as `tubectl load-bindings` reads them: `{"bindings": [{"label": "foo", "prefix": "127.0.0.1/32", "port": 80}]}`.
//!
//! Takes the text; gives a binding for each entry, for TCP and UDP as tubular makes of it, or every entry's mistake with
//! its line and column. Where the text is no JSON, reading ends at the first mistake. Not here: whether two bindings are one.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Error, Number};

use super::binding::{self, Binding, Carried, Port};
use super::place::{Place, Reached};

/// What an entry looks like, for messages.
const ENTRY: &str = r#"{"label": "foo", "prefix": "127.0.0.1/32", "port": 80}"#;

/// The file. Each entry is kept as text, so that its mistakes are found together and placed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    bindings: Option<Vec<&'a RawValue>>,
}

/// An entry: whatever may be missing, so that messages say what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    label: Option<String>,
    prefix: Option<String>,
    port: Option<Number>,
}

/// Reads a whole file.
pub(super) fn read(text: &str) -> Result<Vec<Binding>, Vec<(Place, String)>> {
    if let Some(array) = array(text) {
        let place = Reached::start(text).go_to(array);
        let mistake = format!("this is an array; write {{\"bindings\": [{ENTRY}]}}");
        return Err(vec![(place, mistake)]);
    }
    let file: File<'_> = serde_json::from_str(text).map_err(|error| {
        let place = Place::START.beyond(error.line(), error.column());
        let message = message(&error);
        vec![(
            place,
            format!("{message}; write {{\"bindings\": [{ENTRY}]}}"),
        )]
    })?;
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let mut reached = Reached::start(text);
    for raw in file.bindings.unwrap_or_default() {
        let place = reached.go_to(raw.get());
        match entry(raw.get(), place) {
            Ok(binding) => found.push(binding),
            Err(Wrong::Form(error)) => {
                let place = place.beyond(error.line(), error.column());
                mistakes.push((place, format!("{}; write {ENTRY}", message(&error))));
            }
            Err(Wrong::Meaning(mistake)) => mistakes.push((place, mistake)),
        }
    }
    if mistakes.is_empty() {
        Ok(found)
    } else {
        Err(mistakes)
    }
}

/// What begins an array: fields have names in tubular, and arrays would be read without.
fn array(text: &str) -> Option<&str> {
    let text = text.trim_start();
    text.starts_with('[').then_some(text)
}

/// Why an entry is none.
enum Wrong {
    /// It has not the form of one.
    Form(Error),
    /// It means none.
    Meaning(String),
}

impl From<String> for Wrong {
    fn from(mistake: String) -> Self {
        Self::Meaning(mistake)
    }
}

fn entry(text: &str, place: Place) -> Result<Binding, Wrong> {
    if array(text).is_some() {
        return Err(format!("the binding is an array; write {ENTRY}").into());
    }
    let Entry {
        label,
        prefix,
        port,
    } = serde_json::from_str(text).map_err(Wrong::Form)?;
    let label = label.ok_or_else(|| missing("label", "the name of a service"))?;
    binding::label(&label)?;
    let prefix = prefix.ok_or_else(|| missing("prefix", "one such as \"192.0.2.0/24\""))?;
    let prefix = binding::prefix(&prefix)?;
    let port = port.ok_or_else(|| missing("port", "one, or 0 for every port"))?;
    let number = port.as_u64().and_then(|port| u16::try_from(port).ok());
    let number = number.ok_or_else(|| {
        format!("the port {port} is none; write a number from 1 to 65535, or 0 for every port")
    })?;
    Ok(Binding {
        prefix,
        port: Port::of(number),
        carried: Carried::Both,
        label,
        place,
    })
}

/// What is said of a binding without one of its fields.
fn missing(field: &str, remedy: &str) -> String {
    format!("the binding has no `{field}`; write {remedy}")
}

/// What an error says, without its place.
fn message(error: &Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
