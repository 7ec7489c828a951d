"""Infotexts, and the buttons that send them."""

import json
import re

import gradio as gr

JS = "_js" if gr.__version__.startswith("3.") else "js"
_PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
paste_fields, registered_param_bindings = {}, []


class ParamBinding:
    def __init__(
        self,
        paste_button,
        tabname,
        source_text_component=None,
        source_image_component=None,
        source_tabname=None,
        override_settings_component=None,
        paste_field_names=None,
    ):
        self.paste_button, self.tabname = paste_button, tabname
        self.source_text_component, self.source_image_component = source_text_component, source_image_component


def reset():
    paste_fields.clear()
    registered_param_bindings.clear()


def add_paste_fields(tabname, init_img, fields):
    paste_fields[tabname] = {"init_img": init_img, "fields": fields}


def register_paste_params_button(binding):
    registered_param_bindings.append(binding)


def quote(text):
    return json.dumps(text, ensure_ascii=False) if any(one in str(text) for one in ",\n:") else text


def parse_generation_parameters(x, skip_fields=None):
    *lines, last = x.strip().split("\n")
    if len(_PAIR.findall(last)) < 3:
        lines.append(last)
        last = ""
    texts = {"Prompt": [], "Negative prompt": []}
    where = "Prompt"
    for line in lines:
        if line.startswith("Negative prompt:"):
            where, line = "Negative prompt", line[16:]
        texts[where].append(line.strip())
    found = {key: "\n".join(value) for key, value in texts.items()}
    for key, value in _PAIR.findall(last):
        text = json.loads(value) if value.startswith('"') else value
        if size := re.fullmatch(r"(\d+)x(\d+)", text):
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
        else:
            found[key] = text
    return found


def connect_paste_params_buttons():
    for binding in registered_param_bindings:
        fields = paste_fields[binding.tabname]["fields"]

        def paste(text, fields=fields):
            found = parse_generation_parameters(text)
            answers = [found.get(name) for _, name in fields]
            return [
                gr.update()
                if value is None
                else type(field.value)(float(value))
                if isinstance(field.value, (int, float))
                else value
                for value, (field, _) in zip(answers, fields)
            ]

        if binding.source_text_component is not None:
            binding.paste_button.click(
                fn=paste,
                inputs=[binding.source_text_component],
                outputs=[field for field, _ in fields],
                show_progress=False,
            )
        binding.paste_button.click(
            fn=None, inputs=None, outputs=None, show_progress=False, **{JS: f"switch_to_{binding.tabname}"}
        )
