"""Routes of images."""

from __future__ import annotations

from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.engine.images.history import image_history
from wherry.engine.images.import_ import import_image
from wherry.engine.images.inspect import inspect_image
from wherry.engine.images.list import list_images
from wherry.engine.images.load import load_images
from wherry.engine.images.prune import prune_images
from wherry.engine.images.pull import pull_image
from wherry.engine.images.push import push_image
from wherry.engine.images.remove import remove_image
from wherry.engine.images.save import save_images
from wherry.engine.images.tag import tag_image
from wherry.errors import InvalidArgument
from wherry.web.messages import Response

routes = Router()
_TAR = [("Content-Type", "application/x-tar")]


@routes.get("/images/json")
async def image_list(request: Request, engine: Engine) -> Response:
    """List images.

    Query:
        all: intermediate ones too.
        filters: before, dangling, label, reference, since, until.
        shared-size, manifests: with what these add.
    Answers: 200, 400 bad filter.

    Spec: Docker Engine API, ImageList.
    """
    summaries = await list_images(
        engine,
        all=request.boolean("all"),
        filters=request.filters(),
        shared_size=request.boolean("shared-size"),
        manifests=request.boolean("manifests"),
        version=request.version,
    )
    return answers.json(summaries)


@routes.post("/images/create", ends_with_client=True)
async def image_create(request: Request, engine: Engine) -> Response:
    """Pull an image, or import one from a root file system.

    Query:
        fromImage, tag: what to pull; the tag may be a digest; without one, all tags of the registry.
        fromSrc: `-` imports the body, anything else is a URL to import from.
        repo, message, changes: name, comment and Dockerfile lines of the import.
        platform: `os/arch/variant`.
    Answers: 200 and a stream of progress; 400 bad reference, 404 no such image.

    Spec: Docker Engine API, ImageCreate.
    """
    query = request.query
    if query.get("fromImage"):
        pulled = pull_image(
            engine,
            query.get("fromImage"),
            tag=query.get("tag"),
            platform=query.get("platform"),
            auth=request.auth(),
        )
        return await answers.progress_stream(pulled)
    source = query.get("fromSrc")
    if not source:
        raise InvalidArgument("either fromImage or fromSrc must be given")
    imported = import_image(
        engine,
        aiter(request.http.body),
        source=source,
        repository=query.get("repo"),
        tag=query.get("tag"),
        message=query.get("message"),
        changes=query.all("changes"),
        platform=query.get("platform"),
    )
    return await answers.progress_stream(imported)


@routes.get("/images/{name...}/json")
async def image_inspect(request: Request, engine: Engine) -> Response:
    """Show one image.

    Query:
        manifests: with those of its platforms; platform: of this one. They exclude each other.
    Answers: 200, 400 both, 404 no such image.

    Spec: Docker Engine API, ImageInspect.
    """
    platform, manifests = request.query.get("platform"), request.boolean("manifests")
    if platform and manifests:
        raise InvalidArgument("conflicting options: manifests and platform options cannot both be set")
    shown = await inspect_image(
        engine, request.path["name"], platform=platform, manifests=manifests, version=request.version
    )
    return answers.json(shown)


@routes.get("/images/{name...}/history")
async def history(request: Request, engine: Engine) -> Response:
    """Show how an image was made, newest step first.

    Query:
        platform: JSON of the platform to look at.
    Answers: 200, 404 no such image.

    Spec: Docker Engine API, ImageHistory.
    """
    return answers.json(
        await image_history(engine, request.path["name"], platform=request.query.get("platform"))
    )


@routes.post("/images/{name...}/push", ends_with_client=True)
async def image_push(request: Request, engine: Engine) -> Response:
    """Push an image to its registry.

    Query:
        tag: only this one; platform: JSON of the platform to push.
    Answers: 200 and a stream of progress; 400 bad reference, 404 no such tag.

    Spec: Docker Engine API, ImagePush.
    """
    pushed = push_image(
        engine,
        request.path["name"],
        tag=request.query.get("tag"),
        platform=request.query.get("platform"),
        auth=request.auth(),
    )
    return await answers.progress_stream(pushed)


@routes.post("/images/{name...}/tag")
async def image_tag(request: Request, engine: Engine) -> Response:
    """Give an image one more name.

    Query:
        repo, tag: the name; the tag is latest by default.
    Answers: 201, 400 bad reference, 404 no such image.

    Spec: Docker Engine API, ImageTag.
    """
    await tag_image(
        engine, request.path["name"], repository=request.query.get("repo"), tag=request.query.get("tag")
    )
    return answers.nothing(201)


@routes.delete("/images/{name...}")
async def image_remove(request: Request, engine: Engine) -> Response:
    """Remove a name of an image, and with its last name the image.

    Query:
        force: also what stopped containers use, and every name of an id.
        noprune: keep untagged parents.
    Answers: 200 and what was untagged and deleted, 404 no such image, 409 in use.

    Spec: Docker Engine API, ImageDelete.
    """
    removed = await remove_image(
        engine,
        request.path["name"],
        force=request.boolean("force"),
        noprune=request.boolean("noprune"),
    )
    return answers.json(removed)


@routes.post("/images/prune")
async def image_prune(request: Request, engine: Engine) -> Response:
    """Remove unused images.

    Query:
        filters: dangling (true by default; false takes named ones too), until, label, label!.
    Answers: 200, 400 bad filter, 409 another prune runs.

    Spec: Docker Engine API, ImagePrune.
    """
    return answers.json(await prune_images(engine, request.filters()))


@routes.post("/images/load", ends_with_client=True)
async def image_load(request: Request, engine: Engine) -> Response:
    """Load the images of an archive, as `save` writes it.

    Query:
        quiet: only the result, no progress; platform: JSON of the platforms to load.
    Answers: 200 and a stream of progress; 400 not such an archive.

    Spec: Docker Engine API, ImageLoad.
    """
    loaded = load_images(
        engine,
        aiter(request.http.body),
        quiet=request.boolean("quiet"),
        platforms=request.query.all("platform"),
    )
    return await answers.progress_stream(loaded)


@routes.get("/images/{name...}/get", ends_with_client=True)
async def image_save(request: Request, engine: Engine) -> Response:
    """Save one image as an archive.

    Query:
        platform: JSON of the platforms to save.
    Answers: 200, 404 no such image.

    Spec: Docker Engine API, ImageGet.
    """
    return await _save(request, engine, [request.path["name"]])


@routes.get("/images/get", ends_with_client=True)
async def images_save(request: Request, engine: Engine) -> Response:
    """Save several images as one archive.

    Query:
        names: which; once for each. platform: JSON of the platforms to save.
    Answers: 200, 404 no such image.

    Spec: Docker Engine API, ImageGetAll.
    """
    return await _save(request, engine, request.query.all("names"))


async def _save(request: Request, engine: Engine, names: list[str]) -> Response:
    chunks = await save_images(engine, names, platforms=request.query.all("platform"))
    return Response(200, _TAR, chunks)
