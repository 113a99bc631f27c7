//! Transcripts through the library's door.
#![allow(clippy::unwrap_used)]

use std::fs;

use library::{Error, Imported, Library, NewLine, NewTranscript, Speaker, TranscriptState};
use tempfile::TempDir;

fn empty() -> (TempDir, Library) {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(folder.path()).unwrap();
    (folder, library)
}

fn meeting(keeps_sound: bool) -> NewTranscript {
    NewTranscript {
        title: "Budget meeting".into(),
        language: Some("en".into()),
        translate: Some("de".into()),
        model: Some("E2B".into()),
        keeps_sound,
        channels: vec![Speaker::Me, Speaker::Others],
    }
}

fn said(channel: Speaker, start_ms: u32, text: &str, translations: &[&str]) -> NewLine {
    NewLine {
        channel,
        start_ms,
        end_ms: start_ms + 900,
        text: text.into(),
        translations: translations.iter().map(|&t| t.to_owned()).collect(),
        unclear: None,
    }
}

/// A transcript with two lines and two seconds of sound on each channel.
fn recorded(library: &Library, keeps_sound: bool) -> String {
    let (id, mut recordings) = library.begin_transcript(&meeting(keeps_sound)).unwrap();
    for recording in &mut recordings {
        recording.append(&[0.25; 32_000]).unwrap();
    }
    library
        .add_line(
            &id,
            &said(Speaker::Others, 1000, "Who pays?", &["Wer zahlt?"]),
        )
        .unwrap();
    library
        .add_line(&id, &said(Speaker::Me, 0, "Good morning.", &[]))
        .unwrap();
    for recording in recordings {
        recording.close().unwrap();
    }
    library
        .end_transcript(&id, TranscriptState::Complete, 2000)
        .unwrap();
    id
}

fn files(folder: &TempDir) -> usize {
    fs::read_dir(folder.path().join("recordings"))
        .unwrap()
        .count()
}

#[test]
fn a_transcript_is_there_after_it_is_opened_again() {
    let (folder, library) = empty();
    let id = recorded(&library, true);
    let mark = library.add_mark(&id, 1500, "decision").unwrap();
    library
        .write_notes(&id, "Ask Ada about the numbers")
        .unwrap();
    drop(library);

    let library = Library::open(folder.path()).unwrap();
    let transcript = library.transcript(&id).unwrap();
    let listed = library.transcripts().unwrap();
    assert_eq!(listed, std::slice::from_ref(&transcript.entry));
    assert_eq!(transcript.entry.state, TranscriptState::Complete);
    assert_eq!(transcript.entry.length_ms, 2000);
    assert!(transcript.entry.channels.iter().all(|c| c.has_sound));
    let lines: Vec<_> = transcript
        .lines
        .iter()
        .map(|l| (l.channel, &*l.text))
        .collect();
    let expected = [
        (Speaker::Me, "Good morning."),
        (Speaker::Others, "Who pays?"),
    ];
    assert_eq!(lines, expected, "in the order of their beginnings");
    assert_eq!(transcript.lines[1].translations, ["Wer zahlt?"]);
    assert_eq!(transcript.marks, [mark]);
    assert_eq!(transcript.notes, "Ask Ada about the numbers");
    let wav = library.sound_of(&id, Speaker::Me, 500, 1000).unwrap();
    assert_eq!(wav.len(), 44 + 16_000);
    let mut sound = library.recording(&id, Speaker::Others).unwrap();
    assert_eq!(sound.len().unwrap(), 32_000);
    assert!((sound.read(31_999, 9).unwrap()[0] - 0.25).abs() < 1e-4);
}

#[test]
fn what_sotto_did_not_end_is_recovered_with_its_sound() {
    let (folder, library) = empty();
    let (id, mut recordings) = library.begin_transcript(&meeting(false)).unwrap();
    recordings[0].append(&[0.1; 48_000]).unwrap();
    library
        .add_line(&id, &said(Speaker::Me, 200, "Nothing is lost.", &[]))
        .unwrap();
    drop((recordings, library)); // Without an end, as a kill leaves it.
    fs::write(folder.path().join("recordings/stray.wav"), "x").unwrap();

    let library = Library::open(folder.path()).unwrap();
    let transcript = library.transcript(&id).unwrap();
    assert_eq!(transcript.entry.state, TranscriptState::Recovered);
    assert_eq!(transcript.entry.length_ms, 3000);
    assert_eq!(transcript.entry.channels[0].heard_ms, 1100);
    assert_eq!(transcript.lines[0].text, "Nothing is lost.");
    assert_eq!(files(&folder), 2, "what belongs to nothing is gone");
    // The rest is written down from it; then sound that was not to be kept goes.
    let mut sound = library.recording(&id, Speaker::Me).unwrap();
    assert_eq!(sound.read(17_600, 100_000).unwrap().len(), 30_400);
    library
        .end_transcript(&id, TranscriptState::Complete, 3000)
        .unwrap();
    assert_eq!(files(&folder), 0);
    let gone = library.sound_of(&id, Speaker::Me, 0, 10).unwrap_err();
    assert!(matches!(gone, Error::Gone("sound")));
}

#[test]
fn titles_lines_translations_and_notes_are_found() {
    let (_folder, library) = empty();
    let id = recorded(&library, true);
    library.write_notes(&id, "Ask Ada").unwrap();
    let find = |query: &str| {
        let hits = library.search_transcripts(query).unwrap();
        hits.into_iter()
            .map(|hit| (hit.transcript.id, hit.line.is_some()))
            .collect::<Vec<_>>()
    };
    for (query, in_line) in [
        ("budg", false),
        ("pays", true),
        ("zahlt", true),
        ("ada", false),
    ] {
        assert_eq!(find(query), [(id.clone(), in_line)], "{query}");
    }
    assert_eq!(find("elephant"), []);
    let hit = library.search_transcripts("ays?").unwrap().remove(0);
    assert!(
        hit.excerpt
            .iter()
            .any(|piece| piece.found && piece.text == "ays?")
    );

    // What is edited is found by its new words alone.
    let line = library.transcript(&id).unwrap().lines[1].id.clone();
    library
        .rewrite_line(&line, "Who stays?", &[], None, true)
        .unwrap();
    assert_eq!(find("zahlt"), []);
    assert_eq!(find("stays"), [(id.clone(), true)]);
    let (of, line) = library.line(&line).unwrap();
    assert_eq!((of, line.is_edited), (id, true));
}

#[test]
fn what_is_deleted_is_gone_from_the_disk() {
    let (folder, library) = empty();
    let id = recorded(&library, true);
    library.write_notes(&id, "elderberry").unwrap();
    library.add_mark(&id, 0, "gooseberry").unwrap();
    assert_eq!(files(&folder), 2);
    library.delete_sound(&id).unwrap();
    assert_eq!(files(&folder), 0);
    library.delete_transcript(&id).unwrap();
    assert!(library.transcripts().unwrap().is_empty());
    assert!(matches!(
        library.delete_transcript(&id),
        Err(Error::Gone(_))
    ));
    let late = library.add_line(&id, &said(Speaker::Me, 0, "late", &[]));
    assert!(matches!(late, Err(Error::Gone(_))));
    drop(library);
    for file in ["library.db", "library.db-wal"] {
        let bytes = fs::read(folder.path().join(file)).unwrap_or_default();
        for word in [
            "Good morning",
            "elderberry",
            "gooseberry",
            "Wer zahlt",
            "Budget",
        ] {
            let found = bytes.windows(word.len()).any(|w| w == word.as_bytes());
            assert!(!found, "{word} is still in {file}");
        }
    }
}

#[test]
fn an_export_can_be_taken_in_with_its_sound() {
    let (_folder, library) = empty();
    let id = recorded(&library, true);
    library.add_mark(&id, 1500, "decision").unwrap();
    library.write_notes(&id, "Ask Ada").unwrap();
    let to = tempfile::tempdir().unwrap();
    library.export_all(to.path()).unwrap();
    let exported = library.export_transcripts(to.path()).unwrap();
    assert_eq!(exported[0].1, "Budget-meeting");

    let (_other_folder, other) = empty();
    let added = Imported { added: 1, known: 0 };
    assert_eq!(other.import(to.path()).unwrap(), added);
    let (ours, theirs) = (
        library.transcript(&id).unwrap(),
        other.transcript(&id).unwrap(),
    );
    assert_eq!(ours, theirs);
    assert_eq!(
        library.sound_of(&id, Speaker::Me, 0, 2000).unwrap(),
        other.sound_of(&id, Speaker::Me, 0, 2000).unwrap()
    );
    assert_eq!(other.search_transcripts("zahlt").unwrap().len(), 1);
    assert_eq!(
        other.import(to.path()).unwrap(),
        Imported { added: 0, known: 1 }
    );

    // A sound outside of the folder is not taken in.
    let json = to.path().join("transcripts/Budget-meeting.json");
    let text = fs::read_to_string(&json).unwrap();
    fs::write(
        &json,
        text.replace(
            "Budget-meeting-me.wav",
            "../transcripts/Budget-meeting.json",
        ),
    )
    .unwrap();
    let (_third_folder, third) = empty();
    third.import(to.path()).unwrap();
    assert!(third.sound_of(&id, Speaker::Me, 0, 2000).is_err());
    fs::write(&json, "{}").unwrap();
    assert!(matches!(
        third.import(to.path()),
        Err(Error::NotAnExport { .. })
    ));

    library.erase().unwrap();
    assert!(library.transcripts().unwrap().is_empty());
}
