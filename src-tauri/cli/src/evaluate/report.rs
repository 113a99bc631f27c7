//! What came out, by task and group.

use std::io::{self, Write};

use serde::Serialize;

use super::measures::{Chrf, WordErrors, words};
use super::set::{Item, Task};
use crate::grouped;

#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub submodels: Vec<SubmodelReport>,
}

#[derive(Debug, Serialize)]
pub struct SubmodelReport {
    pub submodel: String,
    pub effective_parameters: u64,
    pub tasks: Vec<TaskReport>,
    pub seconds: f64,
}

/// The measures of a group, or of all groups of a task together.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    pub task: &'static str,
    /// Null: all groups.
    pub group: Option<String>,
    pub items: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_error_rate: Option<f64>,
    /// Share of the items whose answer is the right one.
    pub exact: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chrf: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invented_words: Option<usize>,
}

/// Measures answers, by task and group in the order in which they first come, and behind the groups of a task all of them
/// together if there are several.
pub fn measure<'a>(answers: impl Iterator<Item = (&'a Item, &'a str)>) -> Vec<TaskReport> {
    let mut tasks: Vec<(&'static str, Groups)> = Vec::new();
    for (item, answer) in answers {
        let task = entry(&mut tasks, &item.task.name());
        task.all.add(&item.task, answer, &item.answer);
        entry(&mut task.groups, &item.group).add(&item.task, answer, &item.answer);
    }
    let mut reports = Vec::new();
    for (task, Groups { all, groups }) in tasks {
        let several = groups.len() > 1;
        for (group, tally) in groups {
            reports.push(tally.report(task, Some(group)));
        }
        if several {
            reports.push(all.report(task, None));
        }
    }
    reports
}

/// The value of a key in a short list, put there if it is missing.
fn entry<'a, K: PartialEq + Clone, V: Default>(list: &'a mut Vec<(K, V)>, key: &K) -> &'a mut V {
    let place = list.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
        list.push((key.clone(), V::default()));
        list.len() - 1
    });
    &mut list[place].1
}

#[derive(Default)]
struct Groups {
    all: Tally,
    groups: Vec<(String, Tally)>,
}

#[derive(Default)]
struct Tally {
    items: usize,
    exact: usize,
    word_errors: Option<WordErrors>,
    chrf: Option<Chrf>,
    invented_words: Option<usize>,
}

impl Tally {
    fn add(&mut self, task: &Task, answer: &str, expected: &str) {
        let answer = task.measured(answer);
        let exact = match task {
            Task::Transcription => {
                let (answer, expected) = (words(answer), words(expected));
                let errors = self.word_errors.get_or_insert_default();
                errors.add(&answer, &expected);
                answer == expected
            }
            Task::SpeechTranslation { .. } | Task::Translation => {
                self.chrf.get_or_insert_default().add(answer, expected);
                answer == expected
            }
            Task::Notes | Task::Chat | Task::Picture | Task::Reading => answer == expected,
            Task::Nothing => {
                *self.invented_words.get_or_insert_default() += words(answer).len();
                answer.is_empty()
            }
        };
        self.items += 1;
        self.exact += usize::from(exact);
    }

    fn report(&self, task: &'static str, group: Option<String>) -> TaskReport {
        TaskReport {
            task,
            group,
            items: self.items,
            word_error_rate: self.word_errors.map(|errors| errors.rate()),
            exact: self.exact as f64 / self.items.max(1) as f64,
            chrf: self.chrf.map(|chrf| chrf.score()),
            invented_words: self.invented_words,
        }
    }
}

/// Prints the measures of one submodel; rates as percentages.
pub fn print(report: &SubmodelReport, out: &mut impl Write) -> io::Result<()> {
    let SubmodelReport {
        submodel,
        effective_parameters,
        tasks,
        seconds,
    } = report;
    let parameters = grouped(*effective_parameters);
    writeln!(
        out,
        "{submodel}: {parameters} effective parameters, {seconds:.1} s"
    )?;
    let group = |row: &TaskReport| row.group.clone().unwrap_or("(all groups)".to_owned());
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0).max(5);
    let task_width = width(&mut tasks.iter().map(|row| row.task.len()));
    let group_width = width(&mut tasks.iter().map(|row| group(row).chars().count()));
    writeln!(
        out,
        "  {:<task_width$}  {:<group_width$}  {:>6}  {:>7}  {:>6}  {:>6}  {:>8}",
        "task", "group", "items", "exact %", "WER %", "chrF", "invented"
    )?;
    let number = |x: Option<f64>| x.map_or(String::new(), |x| format!("{x:.1}"));
    for row in tasks {
        let line = format!(
            "  {:<task_width$}  {:<group_width$}  {:>6}  {:>7}  {:>6}  {:>6}  {:>8}",
            row.task,
            group(row),
            row.items,
            number(Some(row.exact * 100.0)),
            number(row.word_error_rate.map(|rate| rate * 100.0)),
            number(row.chrf),
            row.invented_words.map_or(String::new(), |n| n.to_string()),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(task: Task, group: &str, answer: &str) -> Item {
        Item {
            id: String::new(),
            task,
            group: group.to_owned(),
            parts: Vec::new(),
            answer: answer.to_owned(),
            max_tokens: None,
        }
    }

    #[test]
    fn groups_are_measured_apart_and_together() {
        let german = || Task::SpeechTranslation {
            language: "German".into(),
        };
        let answers = [
            (
                item(Task::Transcription, "one", "It is late."),
                "it is, late\n",
            ),
            (item(Task::Chat, "", "Hello."), " Hello.\n"),
            (item(Task::Transcription, "two", "It is late."), "it was"),
            (item(german(), "", "Ja."), "Yes.\nGerman: Ja."),
            (item(german(), "", "Ja."), "Ja."),
            (item(Task::Nothing, "", ""), " \n"),
            (item(Task::Nothing, "", ""), "you, and you"),
            (item(Task::Nothing, "", ""), "..."),
            (item(Task::Chat, "", "Hello."), "hello."),
        ];
        let reports = measure(answers.iter().map(|(item, answer)| (item, *answer)));
        let found: Vec<_> = reports
            .iter()
            .map(|r| {
                (
                    r.task,
                    r.group.as_deref(),
                    r.items,
                    r.word_error_rate,
                    r.invented_words,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("transcription", Some("one"), 1, Some(0.0), None),
                ("transcription", Some("two"), 1, Some(2.0 / 3.0), None),
                ("transcription", None, 2, Some(2.0 / 6.0), None),
                ("chat", Some(""), 2, None, None),
                ("speech_translation", Some(""), 2, None, None),
                ("nothing", Some(""), 3, None, Some(3)),
            ]
        );
        let exact: Vec<f64> = reports.iter().map(|r| r.exact).collect();
        assert_eq!(exact, [1.0, 0.0, 0.5, 0.5, 0.5, 1.0 / 3.0]);
        assert!(
            reports[4]
                .chrf
                .is_some_and(|chrf| (50.0..100.0).contains(&chrf))
        );

        let mut table = Vec::new();
        let report = SubmodelReport {
            submodel: "full".into(),
            effective_parameters: 1_234_567,
            tasks: reports,
            seconds: 1.25,
        };
        print(&report, &mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        assert!(table.starts_with("full: 1 234 567 effective parameters, 1.2 s\n"));
        assert!(
            table.contains("transcription       (all groups)       2     50.0    33.3\n"),
            "{table}"
        );
        assert!(
            table.contains("      3     33.3                         3\n"),
            "{table}"
        );
    }
}
