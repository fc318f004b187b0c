//! Reads filter sets and header traces in ClassBench's text, as far as they are rules of this language.
//!
//! A filter is a line `@FROM/LEN TO/LEN LO : HI LO : HI PROTO/MASK FLAGS/MASK`, a header a line of decimal numbers. The
//! flags are passed over. Files are unpacked by `xz`. The sets are not part of the project: they are looked for in
//! `$SOCKC_CLASSBENCH`, or next to the repository in `../shared/classbench`.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Header, Prefix, Rule, RuleSet};

/// The folder of the sets, if there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("SOCKC_CLASSBENCH").map(PathBuf::from);
    let near = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/classbench");
    Some(named.unwrap_or(near)).filter(|folder| folder.is_dir())
}

/// The families in a folder, by name.
pub(crate) fn families(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// How a set is read: the folder of the sets, the family, the size.
pub(crate) type Read = fn(&Path, &str, usize) -> Result<Option<RuleSet>, Box<dyn Error>>;

/// A set with its headers; `None` where the family has none of this size.
pub(crate) fn read(
    folder: &Path,
    family: &str,
    size: usize,
) -> Result<Option<RuleSet>, Box<dyn Error>> {
    let Some(mut set) = read_rules(folder, family, size)? else {
        return Ok(None);
    };
    let headers = file(folder, family, size, "_trace");
    set.headers = parse_headers(&unpacked(&headers)?)?;
    Ok(Some(set))
}

/// A set without its headers.
pub(crate) fn read_rules(
    folder: &Path,
    family: &str,
    size: usize,
) -> Result<Option<RuleSet>, Box<dyn Error>> {
    let filters = file(folder, family, size, "");
    if size < 1000 || !filters.exists() {
        return Ok(None);
    }
    Ok(Some(RuleSet::new(family, parse(&unpacked(&filters)?)?)))
}

fn file(folder: &Path, family: &str, size: usize, end: &str) -> PathBuf {
    let name = format!("{family}_{}k{end}.xz", size / 1000);
    folder.join(family).join(name)
}

fn unpacked(path: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .map_err(|error| format!("cannot run xz: {error}"))?;
    if !output.status.success() {
        return Err(format!("xz cannot read {}", path.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The filters of a text.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| filter(line).ok_or_else(|| format!("line {number}: {line}")))
        .collect()
}

fn filter(line: &str) -> Option<Rule> {
    let fields: Vec<&str> = line.strip_prefix('@')?.split_whitespace().collect();
    let [from, to, s0, ":", s1, d0, ":", d1, protocol, ..] = fields[..] else {
        return None;
    };
    Some(Rule {
        from: prefix(from)?,
        to: prefix(to)?,
        sports: (s0.parse().ok()?, s1.parse().ok()?),
        dports: (d0.parse().ok()?, d1.parse().ok()?),
        protocol: wanted(protocol)?,
    })
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    Some(Prefix::of(address.into(), length.parse().ok()?))
}

/// A protocol; the mask is all or nothing.
fn wanted(text: &str) -> Option<Option<u8>> {
    let hex = |text: &str| u8::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let (value, mask) = text.split_once('/')?;
    Some(Some(hex(value)?).filter(|_| hex(mask) != Some(0)))
}

/// The headers of a text.
pub(crate) fn parse_headers(text: &str) -> Result<Vec<Header>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| header(line).ok_or_else(|| format!("line {number}: {line}")))
        .collect()
}

fn header(line: &str) -> Option<Header> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    let address = |bits| IpAddr::from(Ipv4Addr::from_bits(bits));
    Some(Header {
        from: address(next()?),
        to: address(next()?),
        sport: next()?.try_into().ok()?,
        dport: next()?.try_into().ok()?,
        protocol: next()?.try_into().ok()?,
    })
}
