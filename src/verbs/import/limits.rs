//! Rates as nft prints them in JSON, and as firewalld hands them to it.
//!
//! Takes what a limit says; gives a rate of the language, or why it has none that is the same. Not here: how many rules share a bucket.

use serde_json::Value;

use super::what::Rate;

/// The rate of a limit, `per` whom it is.
pub(super) fn rate(of: &Value, per: &str, bucket: Option<String>) -> Result<Rate, String> {
    let number = |name: &str| of.get(name).and_then(Value::as_u64);
    let word = |name: &str| of.get(name).and_then(Value::as_str);
    let period = word("per").unwrap_or("second");
    let none = || {
        format!(
            "its rate per {period} is none of packets or bytes in a second, a minute or an hour"
        )
    };
    let rate = number("rate").filter(|rate| *rate > 0).ok_or_else(none)?;
    let unit = word("rate_unit")
        .or_else(|| word("unit"))
        .unwrap_or("packets");
    let (rate, what) = match unit {
        "packets" => (rate, "packets"),
        unit => (bytes(rate, unit).ok_or_else(none)?, "bytes"),
    };
    let (rate, period) = match period {
        "second" | "minute" | "hour" => (rate, period),
        // A day has no word; one that is whole numbers an hour has the same bucket.
        "day" if rate.is_multiple_of(24) && what == "packets" => (rate / 24, "hour"),
        _ => return Err(none()),
    };
    let burst = number("burst").unwrap_or_default();
    let burst = match what {
        // Without a burst the kernel takes 5 packets (nft_limit_init).
        "packets" if burst == 0 => 5,
        "packets" => burst,
        // A bucket of bytes holds what comes in its time, and the burst (nft_limit_init).
        _ => {
            let unit = word("burst_unit").unwrap_or("bytes");
            bytes(burst, unit)
                .and_then(|burst| burst.checked_add(rate))
                .ok_or_else(none)?
        }
    };
    Ok(Rate {
        above: of.get("inv").and_then(Value::as_bool).unwrap_or_default(),
        text: format!("{rate} {what}/{period}{per} burst {burst}"),
        bucket,
    })
}

fn bytes(count: u64, unit: &str) -> Option<u64> {
    let factor = match unit {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        "gbytes" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_their_buckets() {
        for (of, said) in [
            (
                r#"{"rate": 5, "burst": 7, "per": "second"}"#,
                "5 packets/second burst 7",
            ),
            (
                r#"{"rate": 48, "burst": 0, "per": "day"}"#,
                "2 packets/hour burst 5",
            ),
            (
                r#"{"rate": 10, "burst": 1, "per": "second", "inv": true, "rate_unit": "kbytes", "burst_unit": "bytes"}"#,
                "10240 bytes/second burst 10241",
            ),
        ] {
            let of: Value = serde_json::from_str(of).unwrap();
            assert_eq!(rate(&of, "", None).unwrap().text, said);
        }
        for wrong in [
            r#"{"rate": 0, "per": "second"}"#,
            r#"{"rate": 5, "per": "week"}"#,
            r#"{"rate": 5, "per": "day"}"#,
            r#"{"rate": 5, "per": "second", "rate_unit": "tbytes"}"#,
        ] {
            let of: Value = serde_json::from_str(wrong).unwrap();
            assert!(rate(&of, "", None).is_err(), "{wrong}");
        }
    }
}
