//! A file of rules as `iptables-restore --noflush` puts it upon what is there.
//!
//! Takes the text and the chains that are there; adds its rules to them, or says why it is no such file. A chain of the user's that is declared
//! begins empty again, rules are added at the end or put in, and a built-in chain keeps its rules. Not here: whose files these are.

use std::rc::Rc;

use super::super::saved::{self, FILTER, Saved};
use super::super::words::{BLANKS, words};
use super::tuples;
use crate::verbs::import::chains::Chain;
use crate::verbs::import::line::{Line, Origin};
use crate::verbs::import::list::List;
use crate::verbs::import::report::shortened;

/// Whose text it is.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// It is this file.
    File(String),
    /// ufw makes it of a setting in this line of a file.
    Setting(String, usize),
}

/// A mistake: the line, and what is wrong.
type Mistake = (usize, String);

/// What is being read.
struct Restoring<'a> {
    saved: &'a mut Saved,
    is_v6: bool,
    whose: &'a Whose,
    /// The table, and the line in which it began.
    table: Option<(String, usize)>,
    /// Where the next rules come from.
    origin: Rc<Origin>,
    /// The same where no command of the user's is known.
    plain: Rc<Origin>,
}

/// Puts a text upon what is there.
pub(super) fn restore(
    text: &str,
    is_v6: bool,
    whose: &Whose,
    saved: &mut Saved,
) -> Result<(), Mistake> {
    let (Whose::File(file) | Whose::Setting(file, _)) = whose;
    let plain = Rc::new(Origin {
        file: file.clone(),
        written: None,
    });
    let mut restoring = Restoring {
        saved,
        is_v6,
        whose,
        table: None,
        origin: Rc::clone(&plain),
        plain,
    };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_matches(BLANKS);
        restoring
            .line((number, line))
            .map_err(|why| (number, why))?;
    }
    match restoring.table {
        Some((table, number)) => Err((
            number,
            format!(
                "the table {table} has no `COMMIT`, so the file may be cut, and iptables-restore does nothing with it; write it behind the last rule"
            ),
        )),
        None => Ok(()),
    }
}

impl Restoring<'_> {
    fn line(&mut self, (number, line): (usize, &str)) -> Result<(), String> {
        if line.is_empty() || line.starts_with("###") {
            let written = tuples::read(line);
            self.origin = match written {
                Some(_) => Rc::new(Origin {
                    file: self.plain.file.clone(),
                    written,
                }),
                None => Rc::clone(&self.plain),
            };
            return Ok(());
        }
        if line.starts_with('#') {
            return Ok(());
        }
        if let Some(name) = line.strip_prefix('*') {
            if let Some((before, _)) = &self.table {
                return Err(format!(
                    "the table {before} has no `COMMIT` ahead of this one; write it"
                ));
            }
            self.table = Some((name.to_owned(), number));
            return Ok(());
        }
        let outside = || {
            format!(
                "`{}` stands in no table; write it behind `*filter`",
                shortened(line)
            )
        };
        if line == "COMMIT" {
            return self.table.take().map(|_| ()).ok_or_else(outside);
        }
        let (table, _) = self.table.clone().ok_or_else(outside)?;
        if let Some(sign) = saved::other_family(line, self.is_v6) {
            return Err(format!(
                "`{sign}` is of the other family, whose rules stand in a file of their own (before6.rules has those of IPv6, before.rules those of IPv4)"
            ));
        }
        match (table == FILTER, line.strip_prefix(':')) {
            (true, Some(declared)) => self.declares(declared),
            (true, None) => self.does((number, line)),
            (false, _) => self.elsewhere(&table, (number, line)),
        }
    }

    fn declares(&mut self, declared: &str) -> Result<(), String> {
        let (name, chain) = saved::declaration(declared)?;
        let is_built_in = List::is_built_in(name);
        match self.saved.chains.get_mut(name) {
            Some(there) if is_built_in => there.drops = chain.drops,
            _ => {
                self.saved.chains.insert(name.to_owned(), chain);
            }
        }
        Ok(())
    }

    /// A command of iptables, without the table.
    fn does(&mut self, (number, line): (usize, &str)) -> Result<(), String> {
        let rule = saved::without_counters(line);
        let words = words(rule)?;
        let mut words = words.iter().map(|word| word.text.as_str());
        let command = words.next().unwrap_or_default();
        let name = words.next();
        if matches!(command, "-F" | "--flush") {
            let is_meant = |one: &str| name.is_none_or(|name| name == one);
            let chains = self.saved.chains.iter_mut();
            chains
                .filter(|(one, _)| is_meant(one))
                .for_each(|(_, chain)| chain.rules.clear());
            return Ok(());
        }
        let is_first = matches!(command, "-I" | "--insert");
        if !is_first && !matches!(command, "-A" | "--append") {
            return Err(format!(
                "`{}` is not read here; write the file without it: lines that begin with `*`, `:`, `-A`, `-I`, `-F`, `#` or `COMMIT`",
                shortened(line)
            ));
        }
        let place = words.next().and_then(|word| word.parse::<usize>().ok());
        let line = self.at(number, rule);
        let name = name.unwrap_or_default();
        let chain = self.saved.chains.get_mut(name);
        let chain = chain.ok_or_else(|| {
            format!("the chain {name} is not there, so iptables-restore refuses the file; declare it, as `:{name} - [0:0]`")
        })?;
        put(chain, is_first.then_some(place.unwrap_or(1)), line)
    }

    /// A line of another table.
    fn elsewhere(&mut self, table: &str, (number, line): (usize, &str)) -> Result<(), String> {
        let rule = saved::without_counters(line);
        let decides = match rule.strip_prefix(':') {
            Some(declared) => saved::declaration(declared)?.1.drops,
            None => ["-A ", "--append ", "-I ", "--insert ", "-P "]
                .iter()
                .any(|command| rule.starts_with(command)),
        };
        if decides {
            let line = self.at(number, rule);
            self.saved.elsewhere.push(saved::Elsewhere {
                table: table.to_owned(),
                line,
            });
        }
        Ok(())
    }

    fn at(&self, number: usize, rule: &str) -> Line {
        let number = match self.whose {
            Whose::File(_) => number,
            Whose::Setting(_, line) => *line,
        };
        Line {
            origin: Some(Rc::clone(&self.origin)),
            ..Line::numbered(number, rule)
        }
    }
}

/// Adds a rule to a chain at its end, or at a place from 1.
fn put(chain: &mut Chain, place: Option<usize>, line: Line) -> Result<(), String> {
    let Some(place) = place else {
        chain.rules.push(line);
        return Ok(());
    };
    let at = place.checked_sub(1).filter(|at| *at <= chain.rules.len());
    let at = at.ok_or_else(|| {
        format!("there is no place {place} in a chain of {} rules, so iptables-restore refuses the file", chain.rules.len())
    })?;
    chain.rules.insert(at, line);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(texts: &[&str]) -> Result<Saved, Mistake> {
        let mut saved = Saved::default();
        for text in texts {
            restore(text, false, &Whose::File("/x/a.rules".into()), &mut saved)?;
        }
        Ok(saved)
    }

    fn rules(saved: &Saved, chain: &str) -> Vec<String> {
        let lines = saved.chains[chain].rules.iter();
        lines
            .map(|line| format!("{} {}", line.place(), line.text))
            .collect()
    }

    #[test]
    fn a_file_is_put_upon_what_is_there() {
        let first = "*filter\n:INPUT ACCEPT\n:own - [0:0]\n-A INPUT -j own\n-A own -p tcp -j ACCEPT\nCOMMIT\n";
        let second = "*filter\n:INPUT DROP\n-I own -p udp -j DROP\n-I own 2 -p esp -j DROP\n[1:2] -A own -j DROP\nCOMMIT\n*nat\n-F\n:X - [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";
        let saved = restored(&[first, second]).unwrap();
        assert!(saved.chains["INPUT"].drops);
        assert_eq!(rules(&saved, "INPUT"), ["a.rules line 4 -A INPUT -j own"]);
        assert_eq!(
            rules(&saved, "own"),
            [
                "a.rules line 3 -I own -p udp -j DROP",
                "a.rules line 4 -I own 2 -p esp -j DROP",
                "a.rules line 5 -A own -p tcp -j ACCEPT",
                "a.rules line 5 -A own -j DROP",
            ]
        );
        assert_eq!(saved.elsewhere.len(), 1);
        let again = restored(&[first, "*filter\n:own - [0:0]\n-A own -j DROP\nCOMMIT"]).unwrap();
        assert_eq!(rules(&again, "own"), ["a.rules line 3 -A own -j DROP"]);
        let emptied = restored(&[first, "*filter\n-F own\nCOMMIT"]).unwrap();
        assert!(emptied.chains["own"].rules.is_empty());
        assert_eq!(emptied.chains["INPUT"].rules.len(), 1);
    }

    #[test]
    fn lines_below_a_tuple_are_what_the_user_said() {
        let text = "*filter\n:own - [0:0]\n### tuple ### allow any 53 0.0.0.0/0 any 0.0.0.0/0 in\n-A own -p tcp -j ACCEPT\n-A own -p udp -j ACCEPT\n\n-A own -j DROP\nCOMMIT";
        let saved = restored(&[text]).unwrap();
        let said: Vec<_> = saved.chains["own"]
            .rules
            .iter()
            .map(|line| {
                line.origin
                    .as_ref()?
                    .written
                    .as_ref()
                    .map(|written| written.command.clone())
            })
            .collect();
        let command = Some("ufw allow 53".to_owned());
        assert_eq!(said, [command.clone(), command, None]);
    }

    #[test]
    fn what_iptables_restore_refuses_is_refused_by_its_line() {
        for (text, line, said) in [
            ("*filter\n:own - [0:0]\n", 1, "no `COMMIT`"),
            ("*filter\n*nat\nCOMMIT", 2, "no `COMMIT` ahead"),
            ("-A INPUT -j DROP", 1, "stands in no table"),
            ("COMMIT", 1, "stands in no table"),
            ("*filter\n-A own -j DROP\nCOMMIT", 2, "is not there"),
            (
                "*filter\n:own - [0:0]\n-D own -j DROP\nCOMMIT",
                3,
                "write the file without it",
            ),
            (
                "*filter\n:own - [0:0]\n-I own 2 -j DROP\nCOMMIT",
                3,
                "no place 2",
            ),
            (
                "*filter\n:own - [0:0]\n-I own 0 -j DROP\nCOMMIT",
                3,
                "no place 0",
            ),
            (
                "*filter\n:own - [0:0]\n-A own -s ::1 -j DROP\nCOMMIT",
                3,
                "of the other family",
            ),
            (
                "*filter\n:own - [0:0]\n-A own -m comment --comment \"x\nCOMMIT",
                3,
                "quote",
            ),
            ("*filter\n:own what\nCOMMIT", 2, "is no policy"),
        ] {
            let (at, why) = restored(&[text]).unwrap_err();
            assert!(at == line && why.contains(said), "{text}: line {at}: {why}");
        }
    }
}
