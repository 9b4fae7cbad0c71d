"""The pages of imports, as a browser's form sends to them."""

from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from provisioning.jobs import runner
from provisioning.models import Job

SECRET = "uploaded-s3cret"
NEW = "000B82000E10"
GOOD = f"mac,model,extension,password,name,sip_server\n{NEW},GXP1628,1009,{SECRET},Ada,pbx\n"
SURE = {"sure": "yes"}


def upload(console: Client, text: str | bytes, name: str = "phones.csv", follow: bool = True):
    data = text.encode() if isinstance(text, str) else text
    return console.post("/phones/import/", {"file": SimpleUploadedFile(name, data)}, follow=follow)


def body(response) -> str:
    return response.content.decode()


def streamed(response) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(collect)()  # in this thread, as Django does it: it sees the test's own transaction


def carry_out() -> Job:
    job = Job.objects.latest("pk")
    runner.run.call(job.pk)
    return job
