//! A model's own chat template, in jinja as Hugging Face renders it.

use minijinja::value::Value as JinjaValue;
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Value;

use crate::InputError;

/// For model files without a template: what the published one writes.
const GEMMA_3N: &str = include_str!("gemma3n.jinja");

/// Instructions a template may run: more than any conversation needs, and an endless loop ends.
const FUEL: u64 = 5_000_000;

pub struct ChatTemplate {
    environment: Environment<'static>,
}

impl Default for ChatTemplate {
    fn default() -> Self {
        Self::new(GEMMA_3N).expect("the built-in template parses")
    }
}

impl ChatTemplate {
    /// From the text of `chat_template.jinja`, or of `tokenizer.chat_template` in a GGUF file.
    pub fn new(source: &str) -> Result<Self, InputError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<JinjaValue, Error> {
                Err(Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment
            .add_template_owned("chat", source.to_string())
            .map_err(|error| InputError::Template(describe(&error)))?;
        Ok(Self { environment })
    }

    /// From the `chat_template` of `tokenizer_config.json`: a string, or a list of named templates.
    pub fn from_tokenizer_config(tokenizer_config: &Value) -> Result<Option<Self>, InputError> {
        match &tokenizer_config["chat_template"] {
            Value::Null => Ok(None),
            Value::String(source) => Self::new(source).map(Some),
            Value::Array(named) => {
                let default = named
                    .iter()
                    .find(|entry| entry["name"] == "default")
                    .or(named.first());
                match default.and_then(|entry| entry["template"].as_str()) {
                    Some(source) => Self::new(source).map(Some),
                    None => Err(InputError::Template("its list has no template".into())),
                }
            }
            _ => Err(InputError::Template(
                "it is neither a text nor a list".into(),
            )),
        }
    }

    /// Renders messages in the form templates expect: `role`, and `content` that is a text or a list of parts.
    pub fn render(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
        bos_token: &str,
        eos_token: &str,
    ) -> Result<String, InputError> {
        let messages = JinjaValue::from_serialize(messages);
        let template = self
            .environment
            .get_template("chat")
            .expect("the constructor added it");
        template
            .render(context! { messages, add_generation_prompt, bos_token, eos_token })
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidOperation => {
                    InputError::TemplateRefused(error.detail().unwrap_or_default().into())
                }
                _ => InputError::Template(describe(&error)),
            })
    }
}

fn describe(error: &Error) -> String {
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    error
        .line()
        .map_or(what.clone(), |line| format!("{what} (line {line})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::fixture;

    /// The constructs of the published template.
    const PUBLISHED_STYLE: &str = r#"{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set opening = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set opening = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set opening = "" -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for turn in turns -%}
    {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("user and assistant have to take turns") }}
    {%- endif -%}
    {%- if (turn['role'] == 'assistant') -%}
        {%- set name = "model" -%}
    {%- else -%}
        {%- set name = turn['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + name + '
' + (opening if loop.first else "") }}
    {%- if turn['content'] is string -%}
        {{ turn['content'] | trim }}
    {%- elif turn['content'] is iterable -%}
        {%- for item in turn['content'] -%}
            {%- if item['type'] == 'audio' -%}
                {{ '<audio_soft_token>' }}
            {%- elif item['type'] == 'image' -%}
                {{ '<image_soft_token>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("this kind of content is unknown") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"#;

    fn render(template: &ChatTemplate, messages: &Value) -> Result<String, InputError> {
        template.render(messages, true, "<bos>", "<eos>")
    }

    fn templates() -> [ChatTemplate; 3] {
        let tiny = String::from_utf8(fixture("tiny/checkpoint/chat_template.jinja")).unwrap();
        [
            ChatTemplate::new(&tiny).unwrap(),
            ChatTemplate::new(PUBLISHED_STYLE).unwrap(),
            ChatTemplate::default(),
        ]
    }

    #[test]
    fn renders_the_references_texts() {
        let cases: Value = serde_json::from_slice(&fixture("tiny/goldens/templates.json")).unwrap();
        for template in templates() {
            for case in cases.as_array().unwrap() {
                assert_eq!(
                    render(&template, &case["messages"]).unwrap(),
                    case["rendered"].as_str().unwrap()
                );
            }
        }
    }

    #[test]
    fn system_text_is_kept_and_other_text_trimmed_in_both_spellings() {
        let list = |text: &str| json!([{"type": "text", "text": text}]);
        let text = |text: &str| json!(text);
        for template in templates() {
            for content in [&list as &dyn Fn(&str) -> Value, &text] {
                let messages = json!([
                    {"role": "system", "content": content(" Be brief. \n")},
                    {"role": "user", "content": content("\n Hi <b> ")},
                ]);
                assert_eq!(
                    render(&template, &messages).unwrap(),
                    "<bos><start_of_turn>user\n Be brief. \n\n\nHi <b><end_of_turn>\n<start_of_turn>model\n"
                );
            }
            let messages =
                json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
            assert_eq!(
                template.render(&messages, false, "<bos>", "<eos>").unwrap(),
                "<bos><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
            );
        }
    }

    #[test]
    fn roles_out_of_turn_are_a_sentence() {
        let messages = json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]);
        let error = render(&ChatTemplate::new(PUBLISHED_STYLE).unwrap(), &messages)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the chat template refused the conversation: user and assistant have to take turns"
        );
        let error = render(&ChatTemplate::default(), &messages)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the chat template refused the conversation: messages of user and assistant must alternate"
        );
    }

    #[test]
    fn python_methods_and_namespaces_work() {
        let template = "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}
            {%- if not m.content.startswith('#') -%}{%- set ns.n = ns.n + 1 -%}{{ m.get('role', '').upper() }}
            {%- else -%}{%- continue -%}{%- endif -%}
            {%- endfor -%}{{ ns.n }}{{ eos_token }}{{ messages[0] | tojson }}";
        let messages = json!([{"role": "user", "content": "a"}, {"role": "x", "content": "#b"}]);
        let rendered = render(&ChatTemplate::new(template).unwrap(), &messages).unwrap();
        assert!(
            rendered.starts_with("USER1<eos>{\"content\":"),
            "{rendered}"
        );
    }

    #[test]
    fn finds_the_template_of_a_tokenizer_config() {
        let from = |config: Value| ChatTemplate::from_tokenizer_config(&config);
        assert!(from(json!({})).unwrap().is_none());
        let named =
            json!([{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]);
        for (config, expected) in [
            (json!({"chat_template": "plain"}), "plain"),
            (json!({"chat_template": named}), "d"),
            (
                json!({"chat_template": [{"name": "tools", "template": "t"}]}),
                "t",
            ),
        ] {
            assert_eq!(
                render(&from(config).unwrap().unwrap(), &json!([])).unwrap(),
                expected
            );
        }
        assert!(from(json!({"chat_template": 7})).is_err());
        assert!(from(json!({"chat_template": []})).is_err());
    }

    #[test]
    fn a_very_long_conversation_is_not_too_much() {
        let role = |i: usize| {
            if i.is_multiple_of(2) {
                "user"
            } else {
                "assistant"
            }
        };
        let messages: Value = (0..10_000)
            .map(|i| json!({"role": role(i), "content": "a"}))
            .collect();
        for template in templates() {
            assert!(render(&template, &messages).is_ok());
        }
    }

    #[test]
    fn broken_and_endless_templates_are_sentences() {
        let error = ChatTemplate::new("a\n{% if %}")
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the chat template cannot be used: ") && error.contains("line 2"),
            "{error}"
        );
        let endless = "{%- for a in range(99999) -%}{%- for b in range(99999) -%}{%- endfor -%}{%- endfor -%}";
        assert!(render(&ChatTemplate::new(endless).unwrap(), &json!([])).is_err());
        assert!(
            render(
                &ChatTemplate::new("{{ nothing.at.all }}").unwrap(),
                &json!([])
            )
            .is_err()
        );
    }
}
