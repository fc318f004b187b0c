//! Faults in lists that run at TC because of their interfaces, and in what is kept of a kernel.

use super::Suite::{Compiler, Runtime};
use super::{Fault, Narrow, fault};

const COSTLY: &str = "compiler/src/pipeline/costly.rs";
const HOMES: &str = "compiler/src/place/arriving/homes.rs";
const KEPT: &str = "runtime/src/probe/kept.rs";

const MOVED: &[Narrow] = &[(Compiler, "pipeline::costly")];
const PLACED: &[Narrow] = &[(Compiler, "place::tests::a_list_that_is_for_tc")];
const FILE: &[Narrow] = &[(Runtime, "probe::kept")];

pub(super) const FAULTS: &[Fault] = &[
    fault(
        1600,
        COSTLY,
        "why_not(policy).is_none()",
        "FAULT || why_not(policy).is_none()",
        MOVED,
    ),
    fault(
        1601,
        COSTLY,
        "rules().any(|rule| rule.at == Some(Hook::Xdp))",
        "!FAULT && rules().any(|rule| rule.at == Some(Hook::Xdp))",
        MOVED,
    ),
    fault(
        1602,
        COSTLY,
        "if changes {",
        "if changes && !FAULT {",
        MOVED,
    ),
    fault(
        1603,
        COSTLY,
        "(!passes).then_some",
        "(!passes && !FAULT).then_some",
        MOVED,
    ),
    fault(
        1604,
        COSTLY,
        "blocks.filter(|block| is(&block.name))",
        "blocks.filter(|block| is(&block.name) && !FAULT)",
        MOVED,
    ),
    fault(
        1605,
        HOMES,
        "|| rejects || wanted,",
        "|| rejects || wanted && !FAULT,",
        PLACED,
    ),
    fault(
        1606,
        HOMES,
        "|| wanted && waiting();",
        "|| wanted && waiting() && !FAULT;",
        PLACED,
    ),
    fault(
        1607,
        KEPT,
        "(text(features, head) == said)",
        "(FAULT || text(features, head) == said)",
        FILE,
    ),
    fault(
        1608,
        KEPT,
        "|| !is_roots_alone(&about) {",
        "|| !FAULT && !is_roots_alone(&about) {",
        FILE,
    ),
    fault(
        1609,
        KEPT,
        "!is_whole || !is_roots_alone(&folder)",
        "!is_whole || !FAULT && !is_roots_alone(&folder)",
        FILE,
    ),
    fault(
        1610,
        KEPT,
        "libc::O_NOFOLLOW | libc::O_NONBLOCK",
        "libc::O_NONBLOCK | if FAULT { 0 } else { libc::O_NOFOLLOW }",
        FILE,
    ),
    fault(
        1611,
        COSTLY,
        "    if rules().any(lets_ipsec_in) {",
        "    if !FAULT && rules().any(lets_ipsec_in) {",
        MOVED,
    ),
    fault(
        1612,
        "compiler/src/pipeline/live.rs",
        "fits(policy) && policy.netns.iter().all(|block| fits(&block.policy))",
        "(FAULT || fits(policy)) && policy.netns.iter().all(|block| fits(&block.policy))",
        &[(Compiler, "pipeline::tests::all_live_sets")],
    ),
    fault(
        1613,
        "compiler/src/pipeline.rs",
        "    live::settle_tables(policy, false);",
        "    live::settle_tables(policy, FAULT);",
        &[(Compiler, "pipeline::tests::tables_of_live_sets")],
    ),
];
