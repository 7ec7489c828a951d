"""The guard in txt2img and img2img, as the webui loads it; without SameFace's packages the webui goes on without it."""

try:
    from lib_lora.guard.guard_script import guard_script

    FaceGuard = guard_script()
except Exception as error:
    print(f"SameFace guard: it could not be loaded ({type(error).__name__}: {error}); pictures are not judged.")
