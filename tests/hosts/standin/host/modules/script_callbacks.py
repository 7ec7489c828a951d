"""What extensions ask to be called for."""

from modules import errors

_callbacks = {}


def clear_callbacks():
    _callbacks.clear()


def _registrar(kind):
    def register(callback, *, name=None):
        _callbacks.setdefault(kind, []).append(callback)

    return register


def _call(kind, *arguments, reverse=False):
    answers = []
    for callback in _callbacks.get(kind, [])[:: -1 if reverse else 1]:
        try:
            answers.append(callback(*arguments))
        except Exception:
            errors.report(f"Error executing callback {kind}", exc_info=True)
    return answers


on_before_ui = _registrar("before_ui")
on_ui_tabs = _registrar("ui_tabs")
on_ui_settings = _registrar("ui_settings")
on_app_started = _registrar("app_started")
on_model_loaded = _registrar("model_loaded")
on_script_unloaded = _registrar("script_unloaded")
on_before_reload = _registrar("before_reload")
on_infotext_pasted = _registrar("infotext_pasted")
on_before_image_saved = _registrar("before_image_saved")
on_image_saved = _registrar("image_saved")
on_after_component = _registrar("after_component")


def before_ui_callback():
    _call("before_ui")


def ui_tabs_callback():
    return [tab for tabs in _call("ui_tabs") for tab in tabs or []]


def ui_settings_callback():
    _call("ui_settings")


def app_started_callback(demo, app):
    _call("app_started", demo, app)


def model_loaded_callback(sd_model):
    _call("model_loaded", sd_model)


def script_unloaded_callback():
    _call("script_unloaded", reverse=True)


def app_reload_callback():
    _call("before_reload", reverse=True)
