//! As much of a transcript as a question can take along.

/// A long transcript is shortened in so many places, so that each part of the meeting is heard.
const PARTS: usize = 8;

/// Stands where lines were left out.
const GAP: &str = "[…]";

/// The lines as one text of at most about `budget`, and how many of them it has. `cost` is what a line takes of the
/// budget: nearly the same in each of equal parts of a long transcript, of which the first lines are kept.
pub fn extract(lines: &[String], budget: usize, cost: impl Fn(&str) -> usize) -> (String, usize) {
    let costs: Vec<usize> = lines.iter().map(|line| cost(line)).collect();
    if costs.iter().sum::<usize>() <= budget {
        return (lines.join("\n"), lines.len());
    }
    let share = budget / PARTS;
    let mut kept: Vec<&str> = Vec::new();
    let mut n = 0;
    for part in 0..PARTS {
        let range = lines.len() * part / PARTS..lines.len() * (part + 1) / PARTS;
        let mut left = share;
        for i in range.clone() {
            if costs[i] > left {
                kept.push(GAP);
                break;
            }
            left -= costs[i];
            kept.push(&lines[i]);
            n += 1;
        }
    }
    kept.dedup();
    (kept.join("\n"), n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meeting(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("line {i:04}")).collect()
    }

    #[test]
    fn a_short_meeting_is_whole() {
        let (text, n) = extract(&meeting(3), 27, str::len);
        assert_eq!((text.lines().count(), n), (3, 3));
        assert_eq!(extract(&[], 0, str::len), (String::new(), 0));
    }

    #[test]
    fn every_part_of_a_long_one_is_heard_and_the_budget_kept() {
        let lines = meeting(3000);
        let (text, n) = extract(&lines, 4000, str::len);
        let said: usize = text.lines().filter(|l| *l != GAP).map(str::len).sum();
        assert!(said <= 4000 && said > 3500, "{said}");
        assert_eq!(text.lines().filter(|l| *l != GAP).count(), n);
        for part in 0..PARTS {
            let first = format!("line {:04}", 3000 * part / PARTS);
            assert!(text.contains(&first), "{first}");
        }
        assert!(text.ends_with(GAP));
    }

    #[test]
    fn lines_that_are_longer_than_all_the_room_leave_one_gap() {
        let lines = vec!["x".repeat(900); 20];
        assert_eq!(extract(&lines, 800, str::len), (GAP.to_owned(), 0));
    }
}
