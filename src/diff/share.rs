//! A part of all packets, in words.

use sockc_compiler::diff::report::About;

/// A part of everything of a direction: `0.39 % of arriving packets`, `1 in 12 million of arriving packets`. Nothing of
/// malformed packets, which have no fields to count.
pub(super) fn of(share: f64, about: About) -> String {
    let whole = match about {
        About::In => "arriving packets",
        About::Out => "leaving packets",
        About::Send => "what is sent",
        About::Lookup => "lookups",
        About::MalformedIn | About::MalformedOut => return String::new(),
    };
    if share >= 1.0 {
        return format!("all {whole}");
    }
    if share >= LEAST_PERCENT / 100.0 {
        return format!("{} % of {whole}", percent(share * 100.0));
    }
    format!("{} of {whole}", one_in(share))
}

/// Smaller parts are said as one in so many.
const LEAST_PERCENT: f64 = 0.01;

/// A number of percent below 100, with two digits that tell, and never said as 100.
fn percent(percent: f64) -> String {
    let text = match percent {
        99.95.. => return "over 99.9".into(),
        10.0.. => format!("{percent:.1}"),
        1.0.. => format!("{percent:.1}"),
        0.1.. => format!("{percent:.2}"),
        _ => format!("{percent:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1 in 66,000`, `1 in 12 million`, `1 in 10^14`. Nothing is less than one in 10^99.
fn one_in(share: f64) -> String {
    let many = (1.0 / share).min(1e99);
    let power = many.log10().floor();
    // Two digits that tell.
    let unit = 10f64.powf(power - 1.0);
    let rounded = (many / unit).round() * unit;
    match rounded {
        1e12.. => format!("1 in 10^{:.0}", many.log10().round()),
        1e9.. => format!("1 in {} billion", short(rounded / 1e9)),
        1e6.. => format!("1 in {} million", short(rounded / 1e6)),
        _ => format!("1 in {:.0},{:03.0}", (rounded / 1e3).floor(), rounded % 1e3),
    }
}

/// A number of at most two digits that tell.
fn short(number: f64) -> String {
    if number < 10.0 {
        let text = format!("{number:.1}");
        text.strip_suffix(".0").unwrap_or(&text).to_owned()
    } else {
        format!("{number:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_said_as_people_say_them() {
        let said = |one| of(one, About::In);
        for (part, words) in [
            (1.0, "all arriving packets"),
            (0.999_99, "over 99.9 % of arriving packets"),
            (0.5, "50 % of arriving packets"),
            (0.125, "12.5 % of arriving packets"),
            (0.003_9, "0.39 % of arriving packets"),
            (0.000_1, "0.01 % of arriving packets"),
            (0.000_099, "1 in 10,000 of arriving packets"),
            (1.0 / 65_536.0, "1 in 66,000 of arriving packets"),
            (1.0 / 999_999.0, "1 in 1 million of arriving packets"),
            (1.0 / 1_230_000.0, "1 in 1.2 million of arriving packets"),
            (2f64.powi(-32), "1 in 4.3 billion of arriving packets"),
            (2f64.powi(-48), "1 in 10^14 of arriving packets"),
            (f64::MIN_POSITIVE, "1 in 10^99 of arriving packets"),
        ] {
            assert_eq!(said(part), words, "{part}");
        }
        assert_eq!(of(1.0, About::Send), "all what is sent");
    }
}
