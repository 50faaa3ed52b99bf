//! A log sorted by user, each user's events by time.

use rayon::prelude::*;

use crate::memory::{with_capacity, zeros};
use crate::{CancelToken, Error, Result};

/// Events between two checks of the cancel token.
const BLOCK: usize = 1 << 18;

/// Sorts the events of a log by user, each user's by time; events at the same time keep the order
/// of the log.
///
/// Writes the events' indices to `out`, `(events,)`; returns where each user's events begin, and
/// the end, `(n_users + 1,)`.
///
/// # Errors
///
/// [`Error::Shape`]; [`Error::Parameter`] for more than `u32::MAX` events; [`Error::Value`] for a
/// user outside `0..n_users`; [`Error::Memory`]; [`Error::Interrupted`].
pub fn order_by_user(
    users: &[u32],
    times: Option<&[i64]>,
    n_users: usize,
    out: &mut [u32],
    cancel: &CancelToken,
) -> Result<Vec<i64>> {
    if u32::try_from(users.len()).is_err() {
        let rule = "at most 4294967295 events";
        return Err(Error::Parameter { name: "events", value: users.len() as f64, rule });
    }
    let n_times = times.map_or(users.len(), <[i64]>::len);
    for (name, got) in [("times", n_times), ("out", out.len())] {
        if got != users.len() {
            return Err(Error::Shape { name, got, expected: users.len() });
        }
    }
    let starts = starts(users, n_users, cancel)?;
    let mut next = with_capacity(n_users + 1)?;
    next.extend_from_slice(&starts);
    for (first, block) in (0_u32..).step_by(BLOCK).zip(users.chunks(BLOCK)) {
        cancel.check()?;
        for (event, &user) in (first..).zip(block) {
            let place = &mut next[user as usize];
            out[*place as usize] = event;
            *place += 1;
        }
    }
    drop(next);
    if let Some(times) = times {
        sort_users(times, &starts, out, cancel)?;
    }
    Ok(starts)
}

/// Where each user's events begin once they are grouped.
fn starts(users: &[u32], n_users: usize, cancel: &CancelToken) -> Result<Vec<i64>> {
    let mut starts = zeros(n_users + 1)?;
    for (index, block) in users.chunks(BLOCK).enumerate() {
        cancel.check()?;
        for (row, &user) in block.iter().enumerate() {
            // Counted one place further on, so that the running sum gives the start.
            match starts.get_mut(user as usize + 1) {
                Some(count) => *count += 1,
                None => {
                    return Err(Error::Value {
                        name: "users",
                        row: index * BLOCK + row,
                        column: 0,
                        value: user.into(),
                        rule: "a user below n_users",
                    });
                }
            }
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    Ok(starts)
}

/// Sorts each user's events by time, several users at a time.
fn sort_users(times: &[i64], starts: &[i64], out: &mut [u32], cancel: &CancelToken) -> Result<()> {
    let mut parts = Vec::new();
    let (mut rest, mut first) = (out, 0);
    while first + 1 < starts.len() {
        let begin = starts[first];
        // Whole users, about BLOCK events together.
        let wanted = begin + BLOCK as i64;
        let ahead = starts[first + 1..].partition_point(|&start| start <= wanted).max(1);
        let (part, after) = rest.split_at_mut((starts[first + ahead] - begin) as usize);
        parts.push((&starts[first..=first + ahead], part));
        (rest, first) = (after, first + ahead);
    }
    let sort = |(starts, part): (&[i64], &mut [u32])| -> Result<()> {
        cancel.check()?;
        let mut keyed = Vec::new();
        let (mut part, mut begin) = (part, starts[0]);
        for &end in &starts[1..] {
            let (user, after) = part.split_at_mut((end - begin) as usize);
            sort_one(times, user, &mut keyed);
            (part, begin) = (after, end);
        }
        Ok(())
    };
    if rayon::current_thread_index().is_none() {
        return parts.into_iter().try_for_each(sort);
    }
    parts.into_par_iter().try_for_each(sort)
}

fn sort_one(times: &[i64], user: &mut [u32], keyed: &mut Vec<(i64, u32)>) {
    if user.is_sorted_by_key(|&event| times[event as usize]) {
        return;
    }
    keyed.clear();
    keyed.extend(user.iter().map(|&event| (times[event as usize], event)));
    keyed.sort_unstable(); // no two are equal: the event's index is part of the key
    for (place, &(_, event)) in user.iter_mut().zip(&*keyed) {
        *place = event;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools() -> Vec<Option<rayon::ThreadPool>> {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        vec![None, Some(pool(1)), Some(pool(2)), Some(pool(5))]
    }

    fn ordered(users: &[u32], times: Option<&[i64]>, n_users: usize) -> (Vec<u32>, Vec<i64>) {
        let mut results = pools().into_iter().map(|pool| {
            let mut out = vec![0; users.len()];
            let mut work =
                || order_by_user(users, times, n_users, &mut out, &CancelToken::new()).unwrap();
            let starts = match pool {
                None => work(),
                Some(pool) => pool.install(work),
            };
            (out, starts)
        });
        let first = results.next().unwrap();
        assert!(results.all(|other| other == first));
        first
    }

    #[test]
    fn events_go_by_user_then_time_then_place() {
        let users = [2, 0, 2, 0, 2, 2];
        assert_eq!(ordered(&users, None, 4), (vec![1, 3, 0, 2, 4, 5], vec![0, 2, 2, 6, 6]));
        let times = [9, 5, 3, 5, 9, i64::MIN];
        assert_eq!(ordered(&users, Some(&times), 4), (vec![1, 3, 5, 2, 0, 4], vec![0, 2, 2, 6, 6]));
    }

    #[test]
    fn many_events_are_ordered_as_a_stable_sort_orders_them() {
        let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let users: Vec<u32> = (0..600_000).map(|i| (mix(i) % 5000) as u32).collect();
        let times: Vec<i64> = (0..600_000).map(|i| (mix(i + 77) % 50) as i64).collect();
        let mut expected: Vec<u32> = (0..600_000).collect();
        expected.sort_by_key(|&i| (users[i as usize], times[i as usize]));
        assert_eq!(ordered(&users, Some(&times), 5000).0, expected);
    }

    #[test]
    fn a_user_that_is_none_and_sizes_that_differ_are_refused() {
        let order = |users: &[u32], times: Option<&[i64]>, n: usize| {
            order_by_user(users, times, n, &mut [0; 2], &CancelToken::new()).unwrap_err()
        };
        let rule = "a user below n_users";
        let wrong = Error::Value { name: "users", row: 1, column: 0, value: 3.0, rule };
        assert_eq!(order(&[0, 3], None, 3), wrong);
        assert_eq!(
            order(&[0, 1], Some(&[1]), 3),
            Error::Shape { name: "times", got: 1, expected: 2 }
        );
    }
}
