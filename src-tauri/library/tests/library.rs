//! Conversations through the library's door.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use library::{
    Answer, Ending, Error, Failure, Figures, Format, Imported, Library, Part, Role, State,
    StoredFile,
};
use tempfile::TempDir;

fn empty() -> (TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(folder.path()).unwrap();
    (folder, library)
}

fn text(text: &str) -> Vec<Part> {
    vec![Part::Text(text.to_owned())]
}

fn ending(state: State) -> Ending {
    Ending {
        state,
        figures: None,
        failure: None,
    }
}

/// A question with its answer; returns the thread and the ids of both.
fn exchange(
    library: &Library,
    thread: Option<&str>,
    parent: Option<&str>,
    question: &str,
    answer: &str,
) -> (String, String, String) {
    let (question, mut writing) = library
        .ask(thread, parent, &text(question), Some("a model"))
        .unwrap();
    writing.append(answer).unwrap();
    writing.end(&ending(State::Complete)).unwrap();
    (
        writing.thread().to_owned(),
        question,
        writing.id().to_owned(),
    )
}

fn texts(library: &Library, thread: &str) -> Vec<String> {
    let messages = library.conversation(thread).unwrap();
    messages.iter().map(library::Message::text).collect()
}

fn titles(library: &Library, query: &str) -> Vec<String> {
    let hits = library.search(query).unwrap();
    hits.into_iter().map(|hit| hit.thread.title).collect()
}

#[test]
fn a_conversation_is_there_after_it_is_opened_again() {
    let (folder, library) = empty();
    let figures = Figures {
        prompt_tokens: 12,
        completion_tokens: 4,
        context_tokens: 16,
        first_token_ms: 180.5,
        prefill_per_second: 66.7,
        decode_per_second: 9.25,
        context_full: false,
    };
    let (_, mut answer) = library
        .ask(None, None, &text("Why is the sky blue?"), Some("E2B"))
        .unwrap();
    answer.append("Because ").unwrap();
    answer.append("of scattering.").unwrap();
    let end = Ending {
        figures: Some(figures),
        ..ending(State::Complete)
    };
    answer.end(&end).unwrap();
    drop((answer, library));

    let library = Library::open(folder.path()).unwrap();
    let threads = library.threads().unwrap();
    assert_eq!(threads.len(), 1);
    assert_eq!(threads[0].title, "Why is the sky blue?");
    let messages = library.conversation(&threads[0].id).unwrap();
    assert_eq!(messages[0].role, Role::User);
    let answer = &messages[1];
    assert_eq!(
        (answer.role, answer.state),
        (Role::Assistant, State::Complete)
    );
    assert_eq!(answer.text(), "Because of scattering.");
    assert_eq!(answer.figures, Some(figures));
    assert_eq!(answer.model.as_deref(), Some("E2B"));
}

#[test]
fn an_edited_question_is_a_branch_and_the_thread_remembers_which_is_shown() {
    let (folder, library) = empty();
    let (thread, first, one) = exchange(&library, None, None, "One?", "1");
    let (_, second, _) = exchange(&library, Some(&thread), Some(&one), "Two?", "2");
    // Edited: another question after the same answer, and another first question.
    let (_, edited, _) = exchange(&library, Some(&thread), Some(&one), "Three?", "3");
    assert_eq!(texts(&library, &thread), ["One?", "1", "Three?", "3"]);
    let messages = library.conversation(&thread).unwrap();
    assert_eq!(messages[2].siblings, [second.clone(), edited]);
    let (_, other_first, _) = exchange(&library, Some(&thread), None, "Uno?", "1!");
    assert_eq!(texts(&library, &thread), ["Uno?", "1!"]);
    let messages = library.conversation(&thread).unwrap();
    assert_eq!(
        messages[0].siblings,
        [first, other_first],
        "of this thread alone"
    );

    library.choose(&second).unwrap();
    assert_eq!(texts(&library, &thread), ["One?", "1", "Two?", "2"]);
    // A second answer to the same question.
    let mut again = library.answer_again(&second, None).unwrap();
    again.append("two").unwrap();
    again.end(&ending(State::Stopped)).unwrap();
    drop((again, library));
    let library = Library::open(folder.path()).unwrap();
    assert_eq!(texts(&library, &thread), ["One?", "1", "Two?", "two"]);
    assert_eq!(library.conversation(&thread).unwrap()[3].siblings.len(), 2);
}

#[test]
fn pinned_threads_come_first_then_the_latest() {
    let (_folder, library) = empty();
    let (a, ..) = exchange(&library, None, None, "A", "a");
    let (b, ..) = exchange(&library, None, None, "B", "b");
    let order = || {
        let threads = library.threads().unwrap();
        threads.into_iter().map(|t| t.title).collect::<Vec<_>>()
    };
    assert_eq!(order(), ["B", "A"]);
    library.pin(&a, true).unwrap();
    assert_eq!(order(), ["A", "B"]);
    library.rename(&b, "  Bee \n line ").unwrap();
    assert_eq!(order(), ["A", "Bee line"]);
    assert!(matches!(library.pin("nobody", true), Err(Error::Gone(_))));
}

#[test]
fn search_finds_titles_words_beginnings_and_scripts_without_spaces() {
    let (_folder, library) = empty();
    let (sky, ..) = exchange(
        &library,
        None,
        None,
        "Sky",
        "It scatters Größe and naïveté.",
    );
    exchange(
        &library,
        None,
        None,
        "Recipes",
        "A pinch of salt under a blue sky",
    );
    exchange(&library, None, None, "色", "昨日の空は青いでした。");
    assert_eq!(titles(&library, "sky"), ["Sky", "Recipes"], "titles first");
    assert_eq!(titles(&library, "scatt"), ["Sky"]);
    assert_eq!(titles(&library, "naivete grosse"), Vec::<String>::new());
    assert_eq!(titles(&library, "naivete größe"), ["Sky"]);
    assert_eq!(titles(&library, "青い"), ["色"]);
    assert_eq!(titles(&library, "100%_"), Vec::<String>::new());
    assert_eq!(titles(&library, "\"(* NEAR"), Vec::<String>::new());
    assert_eq!(titles(&library, " "), Vec::<String>::new());
    let hit = &library.search("pinch").unwrap()[0];
    let found: Vec<_> = hit.excerpt.iter().filter(|p| p.found).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text, "pinch");
    assert!(hit.message.is_some());

    library.rename(&sky, "Weather").unwrap();
    assert_eq!(
        titles(&library, "sky").len(),
        2,
        "the question still says it"
    );
    assert_eq!(titles(&library, "weath"), ["Weather"]);
    library.delete_thread(&sky).unwrap();
    assert_eq!(titles(&library, "scatters"), Vec::<String>::new());
}

#[test]
fn what_is_deleted_is_in_no_file_any_more() {
    let (folder, library) = empty();
    let picture = library.add_bytes(b"pixels of a secret", "Cat.PNG").unwrap();
    assert!(picture.file.ends_with(".png"));
    let secret = "xylophonequartz";
    let parts = vec![
        Part::Picture(picture.clone()),
        Part::Quote {
            name: "notes.txt".into(),
            text: format!("{secret} quoted"),
        },
        Part::Text(format!("{secret} asked")),
    ];
    let (_, mut answer) = library.ask(None, None, &parts, None).unwrap();
    answer.append(&format!("{secret} answered")).unwrap();
    answer.end(&ending(State::Complete)).unwrap();
    let thread = answer.thread().to_owned();
    exchange(&library, None, None, "Something else", "stays");
    assert_eq!(titles(&library, secret).len(), 1);
    let anywhere = |bytes: &[u8]| {
        ["library.db", "library.db-wal"].iter().any(|name| {
            let data = fs::read(folder.path().join(name)).unwrap_or_default();
            data.windows(bytes.len()).any(|window| window == bytes)
        })
    };
    assert!(anywhere(secret.as_bytes()));
    assert!(library.file_path(&picture.file).is_ok());

    library.delete_thread(&thread).unwrap();
    assert!(!anywhere(secret.as_bytes()), "the text is overwritten");
    assert!(!anywhere(&secret.as_bytes()[..6]), "also in the index");
    assert!(matches!(
        library.file_path(&picture.file),
        Err(Error::Gone(_))
    ));
    assert_eq!(
        fs::read_dir(folder.path().join("attachments"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(library.threads().unwrap().len(), 1);
    assert!(matches!(
        answer.append("too late").and_then(|()| answer.flush()),
        Err(Error::Gone(_))
    ));
}

#[test]
fn a_file_stays_as_long_as_a_message_has_it() {
    let (folder, library) = empty();
    let file = library.add_bytes(b"pixels", "a.png").unwrap();
    let same = library.add_bytes(b"pixels", "b.png").unwrap();
    assert_eq!(file.file, same.file, "named by its content");
    let with_picture = |file: &StoredFile| {
        let asked = library.ask(None, None, &[Part::Picture(file.clone())], None);
        asked.unwrap().1.thread().to_owned()
    };
    let (one, two) = (with_picture(&file), with_picture(&same));
    library.delete_thread(&one).unwrap();
    library.discard_file(&file.file).unwrap();
    assert!(library.file_path(&file.file).is_ok());
    library.delete_thread(&two).unwrap();
    assert!(library.file_path(&file.file).is_err());

    // What was attached and never sent goes at the next start, with whatever else lies there.
    let draft = library.add_bytes(b"draft", "c.png").unwrap();
    fs::write(folder.path().join("attachments/.tmpXYZ"), "half").unwrap();
    drop(library);
    let library = Library::open(folder.path()).unwrap();
    assert!(library.file_path(&draft.file).is_err());
    assert_eq!(
        fs::read_dir(folder.path().join("attachments"))
            .unwrap()
            .count(),
        0
    );
    for name in ["../library.db", "", "a.png", "/etc/passwd"] {
        assert!(
            matches!(library.file_path(name), Err(Error::Gone(_))),
            "{name}"
        );
    }
}

#[test]
fn a_dropped_answer_is_interrupted_and_a_failed_one_says_why() {
    let (_folder, library) = empty();
    let (question, mut answer) = library.ask(None, None, &text("Q"), None).unwrap();
    answer.append("half").unwrap();
    let thread = answer.thread().to_owned();
    drop(answer);
    let last = library.conversation(&thread).unwrap().pop().unwrap();
    assert_eq!(
        (last.state, last.text().as_str()),
        (State::Interrupted, "half")
    );
    let mut again: Answer = library.answer_again(&question, None).unwrap();
    let failure = Failure {
        code: "too_long".into(),
        message: "It is too long.".into(),
        subject: Some("minutes of the year.txt".into()),
    };
    let end = Ending {
        failure: Some(failure.clone()),
        ..ending(State::Failed)
    };
    again.end(&end).unwrap();
    let last = library.conversation(&thread).unwrap().pop().unwrap();
    assert_eq!(last.failure, Some(failure));
}

#[test]
fn an_export_of_everything_is_taken_in_by_another_library() {
    let (_folder, library) = empty();
    let picture = library.add_bytes(b"pixels", "cat.png").unwrap();
    let parts = [
        Part::Picture(picture.clone()),
        Part::Text("What is it?".into()),
    ];
    let (_, mut answer) = library.ask(None, None, &parts, Some("E2B")).unwrap();
    answer.append("A cat.").unwrap();
    answer.end(&ending(State::Complete)).unwrap();
    let thread = answer.thread().to_owned();
    let (_, mut branch) = library
        .ask(Some(&thread), None, &text("What else?"), None)
        .unwrap();
    branch.append("```\ncode\n```").unwrap();
    branch.end(&ending(State::Stopped)).unwrap();
    library.pin(&thread, true).unwrap();
    exchange(&library, None, None, "Another", "one");

    let out = tempfile::tempdir().unwrap();
    assert_eq!(library.export_all(out.path()).unwrap(), 2);
    let (_other_folder, other) = empty();
    assert_eq!(
        other.import(out.path()).unwrap(),
        Imported { added: 2, known: 0 }
    );
    assert_eq!(
        other.import(out.path()).unwrap(),
        Imported { added: 0, known: 2 }
    );
    assert_eq!(other.threads().unwrap(), library.threads().unwrap());
    for thread in library.threads().unwrap() {
        assert_eq!(
            other.conversation(&thread.id).unwrap(),
            library.conversation(&thread.id).unwrap()
        );
    }
    assert!(other.file_path(&picture.file).is_ok());
    assert_eq!(titles(&other, "cat"), ["What is it?"]);

    // Exactly the same goes out again.
    let again = tempfile::tempdir().unwrap();
    other.export_all(again.path()).unwrap();
    let read = |folder: &Path| {
        let mut files: Vec<_> = fs::read_dir(folder.join("threads"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (
                    path.file_name().unwrap().to_owned(),
                    fs::read_to_string(&path).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    assert_eq!(read(out.path()), read(again.path()));

    let broken = out.path().join("threads/broken.json");
    fs::write(&broken, "{}").unwrap();
    let error = other.import(out.path()).unwrap_err().to_string();
    assert!(
        error.contains("broken.json is no export of Sotto"),
        "{error}"
    );
    let error = other.import(_folder.path()).unwrap_err().to_string();
    assert!(error.contains("no folder named threads"), "{error}");
}

#[test]
fn one_exported_thread_brings_its_files() {
    let (_folder, library) = empty();
    let picture = library.add_bytes(b"pixels", "cat.png").unwrap();
    let sound = library.add_bytes(b"meow", "cat.wav").unwrap();
    let parts = [
        Part::Picture(picture.clone()),
        Part::Picture(picture.clone()),
        Part::Sound(sound.clone()),
        Part::Text("What is it?".into()),
    ];
    let (_, mut answer) = library.ask(None, None, &parts, None).unwrap();
    answer.append("A cat.").unwrap();
    answer.end(&ending(State::Complete)).unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("cat.json");
    library
        .export_thread(answer.thread(), Format::Json, &file)
        .unwrap();

    let (_other_folder, other) = empty();
    let added = Imported { added: 1, known: 0 };
    assert_eq!(other.import(&file).unwrap(), added);
    assert_eq!(
        other.conversation(answer.thread()).unwrap(),
        library.conversation(answer.thread()).unwrap()
    );
    for (stored, content) in [(&picture, &b"pixels"[..]), (&sound, b"meow")] {
        let path = other.file_path(&stored.file).unwrap();
        assert_eq!(fs::read(path).unwrap(), content);
    }

    // A file that is not what it was is not taken in.
    let text = fs::read_to_string(&file).unwrap();
    for (content, expected) in [("bWVvdw==", "was changed"), ("?", "cat.png: ")] {
        let changed = text.replacen("cGl4ZWxz", content, 1);
        assert_ne!(changed, text);
        fs::write(&file, changed).unwrap();
        let (_folder, third) = empty();
        let error = third.import(&file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(third.threads().unwrap().is_empty());
    }
}

#[test]
fn markdown_says_that_its_pictures_are_elsewhere() {
    let (folder, library) = empty();
    let picture = library.add_bytes(b"pixels", "cat.png").unwrap();
    let parts = [Part::Picture(picture), Part::Text("What is it?".into())];
    let (_, answer) = library.ask(None, None, &parts, None).unwrap();
    let file = folder.path().join("out.md");
    library
        .export_thread(answer.thread(), Format::Markdown, &file)
        .unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("export it as JSON, or everything"), "{text}");
    assert!(text.contains("\nPicture: cat.png (in Sotto)\n"), "{text}");
}

#[test]
fn markdown_is_what_is_shown() {
    let (folder, library) = empty();
    let parts = [
        Part::Quote {
            name: "notes.txt".into(),
            text: "a\n```\nb".into(),
        },
        Part::Text("Sum up.".into()),
    ];
    let (_, mut answer) = library.ask(None, None, &parts, None).unwrap();
    answer.append("It is **short**.").unwrap();
    answer.end(&ending(State::Stopped)).unwrap();
    let file = folder.path().join("out.md");
    library
        .export_thread(answer.thread(), Format::Markdown, &file)
        .unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let (head, body) = text.split_once("written with Sotto.*\n").unwrap();
    assert!(head.starts_with("# Sum up.\n\n*20"), "{head}");
    assert_eq!(
        body,
        "\n## You\n\nnotes.txt:\n\n````\na\n```\nb\n````\n\nSum up.\n\n## Sotto\n\nIt is **short**.\n\n*Stopped.*\n"
    );
}

#[test]
fn a_library_of_a_newer_sotto_is_left_alone() {
    let (folder, library) = empty();
    exchange(&library, None, None, "Q", "A");
    drop(library);
    let path = folder.path().join("library.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    let error = Library::open(folder.path()).err().unwrap();
    assert!(
        matches!(error, Error::NewerVersion { found: 99, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("update Sotto"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_library_is_named_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.db");
    fs::write(&path, "not a database, whatever it was before ".repeat(200)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Library::open(folder.path()).err().unwrap();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn two_at_once_are_refused() {
    let (folder, library) = empty();
    let error = Library::open(folder.path()).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(library);
    assert!(Library::open(folder.path()).is_ok());
}

#[test]
fn a_place_that_is_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Library::open(&file).is_err());
    assert!(Library::open(Path::new("/proc/sotto")).is_err());
}

#[test]
fn erase_leaves_nothing() {
    let (folder, library) = empty();
    let file = library.add_bytes(b"pixels", "a.png").unwrap();
    library
        .ask(None, None, &[Part::Picture(file)], None)
        .unwrap();
    exchange(&library, None, None, "Q", "A");
    library.erase().unwrap();
    assert_eq!(library.threads().unwrap(), []);
    assert_eq!(
        fs::read_dir(folder.path().join("attachments"))
            .unwrap()
            .count(),
        0
    );
}
