//! Decides whether an op may take place: pure, shared by every driver.

use super::quota::full;
use super::{Head, Op, Refusal, Verb};

/// The sizes a write is held against, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_world: u64,
    /// None: no limit.
    pub quota: Option<u64>,
    /// Memory and storage say different things when they are full.
    pub memory: bool,
}

/// Judges `op` against the world as it is before it; `used` is what all bodies take now.
///
/// The order is core.md §2.4: conditions on a missing world, existence, other conditions, quota.
pub fn judge(op: &Op, current: Option<&Head>, used: u64, limits: &Limits) -> Result<(), Refusal> {
    existence(op, current)?;
    if let Some(head) = current {
        conditions(op, head)?;
        fault(op, head)?;
    }
    size(op, current, used, limits)
}

fn existence(op: &Op, current: Option<&Head>) -> Result<(), Refusal> {
    if current.is_some() {
        return Ok(());
    }
    if op.conditions.if_match.is_some() {
        return Err(Refusal::NothingToMatch);
    }
    // Number 0 stands for "there is none".
    if op.conditions.seq.is_some_and(|seq| seq != 0) {
        return Err(Refusal::Mismatch);
    }
    match op.verb {
        Verb::Append { .. } | Verb::Delete | Verb::Purge => Err(Refusal::NotFound),
        Verb::Put { .. } | Verb::Bury { .. } | Verb::Guard => Ok(()),
    }
}

fn conditions(op: &Op, head: &Head) -> Result<(), Refusal> {
    let asked = &op.conditions;
    if asked.if_match.as_ref().is_some_and(|tags| !tags.matches(&head.tag)) {
        return Err(Refusal::Mismatch);
    }
    if asked.if_match.is_none() && asked.unmodified_since.is_some_and(|at| seconds(head) > at) {
        return Err(Refusal::Mismatch);
    }
    if asked.if_none_match.as_ref().is_some_and(|tags| tags.matches_weakly(&head.tag)) {
        return Err(Refusal::AlreadyThere);
    }
    if asked.seq.is_some_and(|seq| seq != head.seq) {
        return Err(Refusal::Mismatch);
    }
    match asked.offset {
        Some(offset) if offset != head.size => Err(Refusal::WrongOffset(head.size)),
        _ => Ok(()),
    }
}

/// A world whose rows do not hold takes no new event; it can only be removed.
fn fault(op: &Op, head: &Head) -> Result<(), Refusal> {
    match (&head.fault, &op.verb) {
        (Some(reason), Verb::Put { .. } | Verb::Append { .. }) => {
            Err(Refusal::Quarantined(reason.clone()))
        }
        _ => Ok(()),
    }
}

fn size(op: &Op, current: Option<&Head>, used: u64, limits: &Limits) -> Result<(), Refusal> {
    let Some((old, new)) = sizes(op, current) else { return Ok(()) };
    if new > limits.max_world {
        return Err(Refusal::TooLarge { max: limits.max_world });
    }
    let after = used - old.min(used) + new;
    match limits.quota {
        Some(quota) if new > old && after > quota => Err(full(used, quota, after, limits.memory)),
        _ => Ok(()),
    }
}

/// The body's size before and after the op, when it leaves one.
fn sizes(op: &Op, current: Option<&Head>) -> Option<(u64, u64)> {
    let old = current.map_or(0, |head| head.size);
    match &op.verb {
        Verb::Put { body, .. } => Some((old, body.size)),
        Verb::Append { body } => Some((old, old + body.size)),
        Verb::Delete | Verb::Purge | Verb::Bury { .. } | Verb::Guard => None,
    }
}

/// The same, when it grows: what does not always fits, so that a full store can be tidied up.
pub fn grows(op: &Op, current: Option<&Head>) -> Option<(u64, u64)> {
    sizes(op, current).filter(|(old, new)| new > old)
}

fn seconds(head: &Head) -> i64 {
    head.modified_us.div_euclid(1_000_000)
}
