//! The languages that can be named for speech and for translation.

use std::fmt;

use whatlang::{Lang, Script};

/// A language, by its English name as prompts say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language {
    pub code: &'static str, // ISO 639-1
    pub name: &'static str,
    pub(crate) detected_as: Lang,
    pub(crate) scripts: &'static [Script],
}

/// There is no such language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage(pub String);

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = LANGUAGES.iter().map(|language| language.name).collect();
        let names = names.join(", ");
        write!(
            f,
            "there is no language {:?} here; choose one of {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownLanguage {}

impl Language {
    /// A language by its English name or its two-letter code, in any case.
    pub fn named(name: &str) -> Result<Self, UnknownLanguage> {
        let same = |known: &str| known.eq_ignore_ascii_case(name.trim());
        let found = LANGUAGES.iter().find(|l| same(l.name) || same(l.code));
        found
            .copied()
            .ok_or_else(|| UnknownLanguage(name.to_owned()))
    }

    pub fn all() -> &'static [Self] {
        LANGUAGES
    }
}

const fn language(
    code: &'static str,
    name: &'static str,
    detected_as: Lang,
    scripts: &'static [Script],
) -> Language {
    Language {
        code,
        name,
        detected_as,
        scripts,
    }
}

const LATIN: &[Script] = &[Script::Latin];
const CYRILLIC: &[Script] = &[Script::Cyrillic];
const ARABIC: &[Script] = &[Script::Arabic];
const DEVANAGARI: &[Script] = &[Script::Devanagari];

/// Of the languages that Gemma 3n was trained on, those that a text can be recognised to be in.
const LANGUAGES: &[Language] = &[
    language("af", "Afrikaans", Lang::Afr, LATIN),
    language("ar", "Arabic", Lang::Ara, ARABIC),
    language("bg", "Bulgarian", Lang::Bul, CYRILLIC),
    language("bn", "Bengali", Lang::Ben, &[Script::Bengali]),
    language("ca", "Catalan", Lang::Cat, LATIN),
    language("cs", "Czech", Lang::Ces, LATIN),
    language("da", "Danish", Lang::Dan, LATIN),
    language("de", "German", Lang::Deu, LATIN),
    language("el", "Greek", Lang::Ell, &[Script::Greek]),
    language("en", "English", Lang::Eng, LATIN),
    language("es", "Spanish", Lang::Spa, LATIN),
    language("et", "Estonian", Lang::Est, LATIN),
    language("fa", "Persian", Lang::Pes, ARABIC),
    language("fi", "Finnish", Lang::Fin, LATIN),
    language("fr", "French", Lang::Fra, LATIN),
    language("gu", "Gujarati", Lang::Guj, &[Script::Gujarati]),
    language("he", "Hebrew", Lang::Heb, &[Script::Hebrew]),
    language("hi", "Hindi", Lang::Hin, DEVANAGARI),
    language("hr", "Croatian", Lang::Hrv, LATIN),
    language("hu", "Hungarian", Lang::Hun, LATIN),
    language("id", "Indonesian", Lang::Ind, LATIN),
    language("it", "Italian", Lang::Ita, LATIN),
    language(
        "ja",
        "Japanese",
        Lang::Jpn,
        &[Script::Hiragana, Script::Katakana, Script::Mandarin],
    ),
    language("ko", "Korean", Lang::Kor, &[Script::Hangul]),
    language("lt", "Lithuanian", Lang::Lit, LATIN),
    language("lv", "Latvian", Lang::Lav, LATIN),
    language("mr", "Marathi", Lang::Mar, DEVANAGARI),
    language("nb", "Norwegian", Lang::Nob, LATIN),
    language("nl", "Dutch", Lang::Nld, LATIN),
    language("pl", "Polish", Lang::Pol, LATIN),
    language("pt", "Portuguese", Lang::Por, LATIN),
    language("ro", "Romanian", Lang::Ron, LATIN),
    language("ru", "Russian", Lang::Rus, CYRILLIC),
    language("sk", "Slovak", Lang::Slk, LATIN),
    language("sl", "Slovenian", Lang::Slv, LATIN),
    language(
        "sr",
        "Serbian",
        Lang::Srp,
        &[Script::Cyrillic, Script::Latin],
    ),
    language("sv", "Swedish", Lang::Swe, LATIN),
    language("ta", "Tamil", Lang::Tam, &[Script::Tamil]),
    language("te", "Telugu", Lang::Tel, &[Script::Telugu]),
    language("th", "Thai", Lang::Tha, &[Script::Thai]),
    language("tr", "Turkish", Lang::Tur, LATIN),
    language("uk", "Ukrainian", Lang::Ukr, CYRILLIC),
    language("ur", "Urdu", Lang::Urd, ARABIC),
    language("vi", "Vietnamese", Lang::Vie, LATIN),
    language("zh", "Chinese", Lang::Cmn, &[Script::Mandarin]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_go_by_name_and_by_code() {
        for name in ["German", "german", "de", " DE "] {
            assert_eq!(Language::named(name).unwrap().name, "German");
        }
        let error = Language::named("Klingon").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no language \"Klingon\" here; choose one of Afrikaans,")
        );
    }

    #[test]
    fn no_name_or_code_stands_for_two() {
        let names = LANGUAGES.iter().flat_map(|l| [l.name, l.code]);
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
