//! Rules in force that the tool whose rules are imported does not print: those of the other one.
//!
//! Takes what the machine has; gives entries of the report. Not here: whether such rules drop anything.

use sockc_runtime::{legacy_tables, listed_by_nft};

use super::report::{Entry, Kind};

/// The tables that iptables has in nftables.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// What `nft` does not print: tables of the older iptables.
pub(super) fn nft(name: &str) -> Option<Entry> {
    let tables = legacy_tables();
    (!tables.is_empty()).then(|| {
        let said = format!(
            "the older iptables has tables in force beside these ({}): import them by `sockc import iptables-save` from what `iptables-legacy-save` and `ip6tables-legacy-save` print",
            tables.join(", ")
        );
        Entry::of_file(Kind::LeftOut, name, said)
    })
}

/// What `iptables-save` does not print: tables that others have in nftables.
pub(super) fn iptables(name: &str) -> Option<Entry> {
    match tables() {
        Ok(tables) if tables.is_empty() => None,
        Ok(tables) => {
            let said = format!(
                "nftables has tables of others in force beside these ({}): `sockc import nft --live` reads them",
                tables.join(", ")
            );
            Some(Entry::of_file(Kind::LeftOut, name, said))
        }
        Err(why) => {
            let said =
                format!("whether nftables has tables of others beside these is not known: {why}");
            Some(Entry::of_file(Kind::Note, name, said))
        }
    }
}

/// The tables of nftables that are not those of iptables.
fn tables() -> Result<Vec<String>, String> {
    let listed = listed_by_nft("tables")?;
    let tables = listed.iter().filter_map(|one| one.get("table"));
    let of_others = tables.filter_map(|table| {
        let (family, name) = (table["family"].as_str()?, table["name"].as_str()?);
        let is_of_iptables = matches!(family, "ip" | "ip6") && OF_IPTABLES.contains(&name);
        (!is_of_iptables).then(|| format!("{family} {name}"))
    });
    Ok(of_others.collect())
}
