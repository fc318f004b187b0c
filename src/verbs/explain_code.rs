//! `sockc explain-code`: the page of a diagnostic's code, or the list of all codes.

use serde::Serialize;
use sockc_compiler::codes;

use crate::cli;
use crate::exit::Exit;
use crate::output::Output;
use crate::policies::lints::unknown;

// `PAGES`: name and text of every page in `docs/codes/`, in order; made by `explain_code/embed.rs`.
include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The JSON of this verb.
#[derive(Serialize)]
struct Report {
    format: &'static str,
    codes: Vec<Row>,
}

/// A code in JSON.
#[derive(Serialize)]
struct Row {
    code: &'static str,
    title: &'static str,
    /// The page in Markdown, if one code was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

/// Prints the page of a code, or every code with its title.
pub(crate) fn run(arguments: &cli::ExplainCode, output: &mut Output) -> Exit {
    let all = codes::all().into_iter();
    let wanted = arguments.code.as_deref();
    let rows: Vec<Row> = all
        .filter(|(code, _)| wanted.is_none_or(|wanted| code.0.eq_ignore_ascii_case(wanted)))
        .map(|(code, title)| Row {
            code: code.0,
            title,
            page: wanted.and_then(|_| page(code.0)),
        })
        .collect();
    if let Some(wanted) = wanted.filter(|_| rows.is_empty()) {
        output.error(format!("{wanted}: {}", unknown(wanted)));
        return Exit::Usage;
    }
    if output.is_json() {
        output.value(&Report {
            format: "sockc.explain-code/1",
            codes: rows,
        });
        return Exit::Done;
    }
    for row in rows {
        match row.page {
            Some(page) => output.bytes(page.as_bytes()),
            None => output.line(format!("{}  {}", row.code, row.title)),
        }
    }
    Exit::Done
}

fn page(code: &str) -> Option<&'static str> {
    let page = PAGES.iter().find(|(name, _)| *name == code);
    page.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_no_page_is_of_another() {
        let codes: Vec<&str> = codes::all().iter().map(|(code, _)| code.0).collect();
        let pages: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        assert_eq!(codes, pages);
    }
}
