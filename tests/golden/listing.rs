//! A listing that stays the same where nothing in it changed: no addresses, labels where something jumps to, and the
//! line of the policy that an instruction comes from, where that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use cranelift_entity::PrimaryMap;
use sockc_compiler::artifact::{Line, MapId, MapSpec, Program};
use sockc_compiler::bpf::decode::{Op, decode};
use sockc_compiler::bpf::disasm::disassemble;
use sockc_compiler::dropped;

/// Which part of a program is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What runs before the first instruction that comes from a statement.
    Prologue,
    /// All that can run after such an instruction: decisions, questions, counters, ends. What is written of drops while somebody asks
    /// is the same everywhere, and left out.
    Decision,
    /// The same with that.
    Sampled,
}

/// A part of a program, with how much of it that is.
pub(crate) fn listing(program: &Program, maps: &PrimaryMap<MapId, MapSpec>, part: Part) -> String {
    let code = Code::new(program, maps);
    let after = code.after_a_statement();
    let shown = |index: &usize| after.contains(index) == (part != Part::Prologue);
    let shown: Vec<usize> = code.ops.keys().copied().filter(shown).collect();
    let what = match part {
        Part::Prologue => "the prologue",
        Part::Decision | Part::Sampled => "after the prologue",
    };
    let name = format!("{} ({})", program.name, program.section.name());
    let mut text = format!("{name}, {what}: {} instructions\n", shown.len());
    let left_out = match part {
        Part::Prologue | Part::Sampled => BTreeSet::new(),
        Part::Decision => code.behind_gates(),
    };
    text += &code.lines(&shown, &left_out);
    text
}

/// A decoded program.
struct Code<'a> {
    program: &'a Program,
    /// Each instruction, by its index.
    ops: BTreeMap<usize, Op>,
    /// The map that an instruction names.
    maps: BTreeMap<usize, &'a str>,
}

impl<'a> Code<'a> {
    fn new(program: &'a Program, maps: &'a PrimaryMap<MapId, MapSpec>) -> Self {
        let mut ops = BTreeMap::new();
        let mut index = 0;
        while let Some(&insn) = program.insns.get(index) {
            let op = decode(insn, program.insns.get(index + 1).copied()).unwrap();
            ops.insert(index, op);
            index += op.slots();
        }
        let relocations = program.relocations.iter();
        let name = |map: MapId| maps[map].name.as_str();
        let maps = relocations.map(|one| (one.insn as usize, name(one.map)));
        Self {
            program,
            ops,
            maps: maps.collect(),
        }
    }

    /// Where an instruction jumps to.
    fn target(&self, index: usize) -> Option<usize> {
        let offset = match self.ops[&index] {
            Op::Goto { offset, .. } => offset,
            Op::Branch { offset, .. } => offset.into(),
            _ => return None,
        };
        (index + 1).checked_add_signed(offset.try_into().unwrap())
    }

    fn successors(&self, index: usize) -> impl Iterator<Item = usize> {
        let op = self.ops[&index];
        let goes_on = !matches!(op, Op::Exit | Op::Goto { .. });
        let next = goes_on.then_some(index + op.slots());
        self.target(index).into_iter().chain(next)
    }

    /// The line that an instruction comes from.
    fn line(&self, index: usize) -> Option<&'a Line> {
        let mut lines = self.program.lines.iter().rev();
        lines.find(|line| line.insn as usize <= index)
    }

    /// The instructions that come from a statement, and all that can run after one. The head of the policy is none.
    fn after_a_statement(&self) -> BTreeSet<usize> {
        let of_a_statement = |index: &usize| {
            let line = self.line(*index);
            line.is_some_and(|line| !line.location.text.starts_with("policy "))
        };
        let mut waiting: Vec<usize> = self.ops.keys().copied().filter(of_a_statement).collect();
        let mut found = BTreeSet::new();
        while let Some(index) = waiting.pop() {
            if found.insert(index) {
                waiting.extend(self.successors(index));
            }
        }
        found
    }

    /// The instructions that run only while somebody asks what is dropped.
    fn behind_gates(&self) -> BTreeSet<usize> {
        const RANDOM: u32 = 7;
        let asks = |index: &usize| self.maps.get(index) == Some(&dropped::WORD);
        let mut found = BTreeSet::new();
        for gate in self.ops.keys().copied().filter(asks) {
            // Two halves of an address, the load of the word, the jump.
            let jump = gate + 3;
            if !matches!(self.ops.get(&jump), Some(Op::Branch { .. })) {
                continue;
            }
            let is_chosen = |at: &usize| matches!(self.ops[at], Op::Call { helper: RANDOM });
            let ways: Vec<usize> = self.successors(jump).collect();
            let Some(sample) = ways.iter().copied().find(is_chosen) else {
                continue;
            };
            let mut waiting = vec![sample];
            while let Some(index) = waiting.pop() {
                let goes_on = index != sample && ways.contains(&index);
                if !goes_on && found.insert(index) {
                    waiting.extend(self.successors(index));
                }
            }
        }
        found
    }

    fn lines(&self, shown: &[usize], left_out: &BTreeSet<usize>) -> String {
        let labels = self.labels(shown);
        let mut text = String::new();
        let mut origin = None;
        let mut before = false;
        for &index in shown {
            let is_left_out = left_out.contains(&index);
            if is_left_out && !std::mem::replace(&mut before, is_left_out) {
                text += "  … what is written while somebody asks\n";
            }
            before = is_left_out;
            if is_left_out {
                continue;
            }
            if let Some(label) = labels.get(&index) {
                writeln!(text, "{label}:").unwrap();
            }
            let words = self.words(index, &labels);
            let line = self
                .line(index)
                .map(|line| (line.location.line, &line.location.text));
            match line.filter(|_| origin != line) {
                Some((number, said)) => writeln!(text, "  {words:<48}; {number} {said}"),
                None => writeln!(text, "  {words}"),
            }
            .unwrap();
            origin = line;
        }
        text
    }

    /// The names of what is jumped to: `L1` and on for what is shown, `E1` and on for what is not.
    fn labels(&self, shown: &[usize]) -> BTreeMap<usize, String> {
        let targets = shown.iter().filter_map(|&index| self.target(index));
        let targets: BTreeSet<usize> = targets.collect();
        let here: BTreeSet<usize> = shown.iter().copied().collect();
        let (inside, outside): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| here.contains(target));
        let named = |letter, targets: Vec<usize>| {
            let numbered = targets.into_iter().zip(1..);
            numbered.map(move |(target, number)| (target, format!("{letter}{number}")))
        };
        named('L', inside).chain(named('E', outside)).collect()
    }

    fn words(&self, index: usize, labels: &BTreeMap<usize, String>) -> String {
        let next = self.program.insns.get(index + 1).copied();
        let words = disassemble(self.program.insns[index], next);
        match (self.target(index), self.maps.get(&index)) {
            (Some(target), _) => {
                let (before, _) = words.rsplit_once(' ').unwrap();
                format!("{before} {}", labels[&target])
            }
            (None, Some(name)) => {
                let (before, rest) = words.split_once("map[").unwrap();
                let (_, after) = rest.split_once(']').unwrap();
                format!("{before}map[{name}]{after}")
            }
            (None, None) => words,
        }
    }
}
