"""The only file of SameFace that the webui runs: hands it the tab and the routes, or a tab that says what is wrong."""

from lib_lora.ui.page import broken

with broken.shown_in_tab():
    from lib_lora.hosts.webuis import detect, webui_page
    from lib_lora.ui.page.attach import attach

    host = detect.host()
    attached = attach(host, later=True)
    webui_page.register(host, broken.whole(attached.tab), attached.started)
