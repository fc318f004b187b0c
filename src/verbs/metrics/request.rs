//! Requests of an exporter: read within bounds, answered once, and the connection is closed.
//!
//! Takes bytes of anybody; gives what is asked for, or what is answered instead. Not here: connections, and how long they may take.

use crate::cli::Form;

/// So many bytes a request may have.
pub(super) const MOST: usize = 8 << 10;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The numbers in this form.
    Metrics(Form),
    /// Something else: what is answered.
    Refused(Refusal),
}

/// Why a request is not answered with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no HTTP.
    Garbage,
    /// It asks for something else.
    NotFound,
    /// It does something else.
    NotGet,
    /// It is too long.
    TooLong,
    /// It did not come in time.
    TooSlow,
}

impl Refusal {
    /// The line of the status, headers of its own, and a sentence.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Garbage => ("400 Bad Request", "", "this is no request of HTTP/1"),
            Self::NotFound => ("404 Not Found", "", "only /metrics is here"),
            Self::NotGet => (
                "405 Method Not Allowed",
                "Allow: GET\r\n",
                "only GET is answered",
            ),
            Self::TooLong => (
                "431 Request Header Fields Too Large",
                "",
                "the request is too long",
            ),
            Self::TooSlow => (
                "408 Request Timeout",
                "",
                "the request did not come in time",
            ),
        }
    }

    /// The whole answer.
    pub(super) fn answer(self) -> Vec<u8> {
        let (status, headers, sentence) = self.words();
        let body = format!("{sentence}\n");
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Whether a request is there as a whole.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let ends = |end: &[u8]| bytes.windows(end.len()).any(|window| window == end);
    ends(b"\r\n\r\n") || ends(b"\n\n")
}

/// What a whole request asks for.
pub(super) fn asked(bytes: &[u8]) -> Asked {
    read(bytes).map_or_else(Asked::Refused, Asked::Metrics)
}

fn read(bytes: &[u8]) -> Result<Form, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Garbage)?;
    let mut lines = text.lines();
    let first = lines.next().ok_or(Refusal::Garbage)?;
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = words[..] else {
        return Err(Refusal::Garbage);
    };
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !version.starts_with("HTTP/1.") || !is_token(method) || !is_token(target) {
        return Err(Refusal::Garbage);
    }
    if method != "GET" {
        return Err(Refusal::NotGet);
    }
    let path = target.split('?').next().unwrap_or_default();
    if path != "/metrics" {
        return Err(Refusal::NotFound);
    }
    let accepts = lines.take_while(|line| !line.is_empty()).any(|line| {
        let header = line.split_once(':');
        header.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.split(',').any(wants_openmetrics)
        })
    });
    Ok(match accepts {
        true => Form::Openmetrics,
        false => Form::Prometheus,
    })
}

/// Whether one of the kinds that `Accept` names is OpenMetrics, and is wanted: a weight of 0 says that it is not (RFC 9110, 12.4.2). What is no
/// number is no wish: everybody reads the older format.
fn wants_openmetrics(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let is_it = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    is_it && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
}

/// The answer with numbers, up to them.
pub(super) fn head(form: Form, length: usize) -> String {
    let kind = match form {
        Form::Openmetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
    };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_with_no_weight_is_not_wanted() {
        for (accept, wanted) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4",
                true,
            ),
            ("text/plain, Application/OpenMetrics-Text ; Q = 0.001", true),
            ("application/openmetrics-text;q=0", false),
            (
                "application/openmetrics-text; version=1.0.0; q=0.000",
                false,
            ),
            ("application/openmetrics-text;q=none", false),
            ("application/openmetrics-texts", false),
            ("text/plain;q=0, */*", false),
        ] {
            let text = format!("GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            let form = match wanted {
                true => Form::Openmetrics,
                false => Form::Prometheus,
            };
            assert_eq!(asked(text.as_bytes()), Asked::Metrics(form), "{accept}");
        }
    }

    #[test]
    fn only_get_metrics_is_answered() {
        let plain = Asked::Metrics(Form::Prometheus);
        for (text, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", plain),
            ("GET /metrics?a=b HTTP/1.0\n\n", plain),
            (
                "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text; version=1.0.0,*/*\r\n\r\n",
                Asked::Metrics(Form::Openmetrics),
            ),
            ("GET / HTTP/1.1\r\n\r\n", Asked::Refused(Refusal::NotFound)),
            (
                "GET /metrics/../x HTTP/1.1\r\n\r\n",
                Asked::Refused(Refusal::NotFound),
            ),
            (
                "POST /metrics HTTP/1.1\r\n\r\n",
                Asked::Refused(Refusal::NotGet),
            ),
            (
                "GET /metrics HTTP/2\r\n\r\n",
                Asked::Refused(Refusal::Garbage),
            ),
            (
                "GET  /metrics HTTP/1.1\r\n\r\n",
                Asked::Refused(Refusal::Garbage),
            ),
            ("\r\n\r\n", Asked::Refused(Refusal::Garbage)),
            ("\u{16}\u{3}\u{1}\n\n", Asked::Refused(Refusal::Garbage)),
        ] {
            assert!(is_whole(text.as_bytes()), "{text:?}");
            assert_eq!(asked(text.as_bytes()), wanted, "{text:?}");
        }
        assert_eq!(asked(b"\xff\xfe\n\n"), Asked::Refused(Refusal::Garbage));
        assert!(!is_whole(b"GET /metrics HTTP/1.1\r\nHost: a\r\n"));
    }
}
